// What a graph consists of, for profiles.
#include "api.h"
#include "driver.h"
#include "graph.h"

#include <algorithm>
#include <cstdlib>
#include <cxxabi.h>
#include <map>
#include <string>
#include <vector>

#include <c10/cuda/CUDAException.h>

using namespace metatt;

namespace {

std::string plain(const char *mangled) {
  int status = 0;
  char *name = abi::__cxa_demangle(mangled, nullptr, nullptr, &status);
  std::string text = status == 0 && name ? name : mangled;
  free(name);
  return text;
}

std::string kernel_of(cudaGraphNode_t node) {
  static auto parameters = driver<CUresult (*)(CUgraphNode, CUDA_KERNEL_NODE_PARAMS *)>("cuGraphKernelNodeGetParams_v2");
  static auto function_name = driver<CUresult (*)(const char **, CUfunction)>("cuFuncGetName");
  static auto kernel_name = driver<CUresult (*)(const char **, CUkernel)>("cuKernelGetName");
  CUDA_KERNEL_NODE_PARAMS p{};
  check_driver(parameters(node, &p), "a graph's kernel");
  const char *name = nullptr;
  if (p.func) function_name(&name, p.func);
  if (!name && p.kern) kernel_name(&name, p.kern);
  return name ? plain(name) : "a kernel without a name";
}

std::string name_of(cudaGraphNode_t node) {
  cudaGraphNodeType type;
  C10_CUDA_CHECK(cudaGraphNodeGetType(node, &type));
  switch (type) {
  case cudaGraphNodeTypeKernel:
    return kernel_of(node);
  case cudaGraphNodeTypeMemcpy:
    return "copy";
  case cudaGraphNodeTypeMemset:
    return "set";
  default:
    return "node of type " + std::to_string(static_cast<int>(type));
  }
}

} // namespace

// "count name" a line, the most frequent first.
API char *metatt_graph_nodes(void *handle, char **out) {
  return guarded([&] {
    auto raw = graph(handle)->raw_cuda_graph();
    size_t n = 0;
    C10_CUDA_CHECK(cudaGraphGetNodes(raw, nullptr, &n));
    std::vector<cudaGraphNode_t> nodes(n);
    if (n > 0) C10_CUDA_CHECK(cudaGraphGetNodes(raw, nodes.data(), &n));
    std::map<std::string, int> counts;
    for (auto node : nodes) counts[name_of(node)]++;
    std::vector<std::pair<int, std::string>> order;
    for (auto &c : counts) order.emplace_back(-c.second, c.first);
    std::sort(order.begin(), order.end());
    std::string text;
    for (auto &o : order) text += std::to_string(-o.first) + " " + o.second + "\n";
    *out = strdup(text.c_str());
  });
}
