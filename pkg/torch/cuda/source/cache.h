// Where machine code is kept between processes.
#pragma once

#include <string>
#include <vector>

namespace metatt {

// The code that was kept of a program, which is all that it depends on.
bool cached(const std::string &program, std::vector<char> &code);
void cache(const std::string &program, const std::vector<char> &code);

} // namespace metatt
