// The operations that libtorch makes, by name, through its own record functions.

#ifndef METATT_LIBTORCH
#error "package profile needs the flags that cmd/setup writes for libtorch's headers"
#endif

#include <ATen/core/grad_mode.h>
#include <ATen/record_function.h>

#include <chrono>
#include <cstdint>
#include <cstring>
#include <map>
#include <mutex>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace {

enum Phase { forward, backward, no_grad };

struct Sum {
  int64_t calls = 0, nanoseconds = 0;
};

std::mutex mutex;
std::map<std::pair<std::string, Phase>, Sum> sums; // guarded by mutex
at::CallbackHandle handle = at::INVALID_CALLBACK_HANDLE;

// An operation at work. Those that it calls are above it on its thread's stack.
struct Call {
  int64_t began, inside;
  Phase phase;
};
thread_local std::vector<Call> stack;

int64_t now() { return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

std::unique_ptr<at::ObserverContext> begin(const at::RecordFunction &f) {
  Phase phase = c10::GradMode::is_enabled() ? forward : no_grad;
  if (f.scope() == at::RecordScope::BACKWARD_FUNCTION || (!stack.empty() && stack.back().phase == backward)) phase = backward;
  stack.push_back({now(), 0, phase});
  return nullptr;
}

void end(const at::RecordFunction &f, at::ObserverContext *) {
  if (stack.empty()) return; // it began before the callbacks were there
  Call call = stack.back();
  stack.pop_back();
  int64_t whole = now() - call.began;
  if (!stack.empty()) stack.back().inside += whole;
  std::lock_guard<std::mutex> lock(mutex);
  Sum &sum = sums[{f.name(), call.phase}];
  sum.calls++;
  sum.nanoseconds += whole - call.inside;
}

} // namespace

extern "C" void profile_start() {
  std::lock_guard<std::mutex> lock(mutex);
  sums.clear();
  stack.clear();
  if (handle == at::INVALID_CALLBACK_HANDLE) handle = at::addGlobalCallback(at::RecordFunctionCallback(begin, end));
}

// A line for each operation and phase: phase, calls, nanoseconds of its own, name. The caller frees it.
extern "C" char *profile_stop() {
  std::lock_guard<std::mutex> lock(mutex);
  if (handle != at::INVALID_CALLBACK_HANDLE) at::removeCallback(handle);
  handle = at::INVALID_CALLBACK_HANDLE;
  std::ostringstream lines;
  for (const auto &[key, sum] : sums) lines << key.second << ' ' << sum.calls << ' ' << sum.nanoseconds << ' ' << key.first << '\n';
  return strdup(lines.str().c_str());
}
