#include "ring/kernel.hpp"

#include <stdexcept>
#include <string>

namespace strongroom::ring {

namespace {

std::vector<const Kernel*> runnable() {
    std::vector<const Kernel*> kernels;
#if defined(STRONGROOM_WITH_AVX512IFMA)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512ifma")) {
        kernels.push_back(&kAvx512IfmaKernel);
    }
#endif
#if defined(STRONGROOM_WITH_AVX2)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        kernels.push_back(&kAvx2Kernel);
    }
#endif
    kernels.push_back(&kPortableKernel);
    return kernels;
}

}  // namespace

std::vector<std::string_view> available_kernels() {
    std::vector<std::string_view> names;
    for (const Kernel* kernel : runnable()) names.push_back(kernel->name);
    return names;
}

const Kernel& kernel_by_name(std::string_view name) {
    for (const Kernel* kernel : runnable()) {
        if (name.empty() || kernel->name == name) return *kernel;
    }
    throw std::invalid_argument("this processor has no kernel named " + std::string(name));
}

}  // namespace strongroom::ring
