// The AVX2 kernel: four lanes of doubles.
#include "ring/embedding_loops.hpp"
#include "ring/generic_loops.hpp"
#include "ring/kernel.hpp"

namespace strongroom::ring {

const Kernel kAvx2Kernel = {
    .name = "avx2",
    .forward_ntt = kPortableKernel.forward_ntt,
    .inverse_ntt = kPortableKernel.inverse_ntt,
    .add = kPortableKernel.add,
    .subtract = kPortableKernel.subtract,
    .multiply = kPortableKernel.multiply,
    .multiply_add = kPortableKernel.multiply_add,
    .dot = kPortableKernel.dot,
    .sum_products = kPortableKernel.sum_products,
    .combine = kPortableKernel.combine,
    .permute = permute_generic,
    .subtract_reduced_scale = kPortableKernel.subtract_reduced_scale,
    .reduce_integers = reduce_integers_generic,
    .coefficients_to_slots = coefficients_to_slots_generic,
    .slots_to_coefficients = slots_to_coefficients_generic,
    .chacha20 = chacha20_generic,
    .accept = accept_generic,
    .gaussian = gaussian_generic,
};

}  // namespace strongroom::ring
