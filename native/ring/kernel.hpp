// The table of hot loops. Each kernel implements all of them; all agree bit for bit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "ring/automorphism.hpp"
#include "ring/embedding_table.hpp"
#include "ring/ntt_table.hpp"

namespace strongroom::ring {

// How many words `combine` adds up, and what the largest of them may add up to.
inline constexpr std::size_t kMostCombined = 16;
inline constexpr std::uint64_t kLargestCombined = std::uint64_t{1} << 53;

// What `multiply_key` computes from: as many digits as halves of a key, at least one; vectors that
// may be missing (nullptr), and their factor, a residue.
struct KeyProducts {
    std::span<const std::uint64_t* const> digits, b, a;
    const std::uint64_t* plus_b = nullptr;
    const std::uint64_t* plus_a = nullptr;
    std::uint64_t factor = 0;
};

// What `multiply_diagonals` computes from: as many factors as pairs of vectors, at least one. Word
// i of a product has the factor's word at i >> log_run; kReadBeyond words may be read from there
// on.
struct DiagonalProducts {
    std::span<const std::uint64_t* const> factors, x0, x1;
    unsigned log_run = 0;
};

inline constexpr std::size_t kReadBeyond = 8;

// Vectors are of `n` words, a multiple of 8, in any alignment. Values are fully reduced (below q)
// on entry and on return, and outputs may be inputs, unless a line says otherwise.
struct Kernel {
    std::string_view name;

    // In place, natural to bit-reversed order; and back.
    void (*forward_ntt)(std::uint64_t* x, const NttTable& table);
    void (*inverse_ntt)(std::uint64_t* out, const std::uint64_t* in, const NttTable& table);

    void (*add)(std::uint64_t* out, const std::uint64_t* a, const std::uint64_t* b, std::size_t n,
                const Modulus& m);
    void (*subtract)(std::uint64_t* out, const std::uint64_t* a, const std::uint64_t* b,
                     std::size_t n, const Modulus& m);
    void (*multiply)(std::uint64_t* out, const std::uint64_t* a, const std::uint64_t* b,
                     std::size_t n, const Modulus& m);
    // out += a b
    void (*multiply_add)(std::uint64_t* out, const std::uint64_t* a, const std::uint64_t* b,
                         std::size_t n, const Modulus& m);
    // sum of a[i] b[i] for any n up to 2^17
    std::uint64_t (*dot)(const std::uint64_t* a, const std::uint64_t* b, std::size_t n,
                         const Modulus& m);
    // out = sum of a[t] b[t] for t below `count`, at least 1.
    void (*sum_products)(std::uint64_t* out, const std::uint64_t* const* a,
                         const std::uint64_t* const* b, std::size_t count, std::size_t n,
                         const Modulus& m);
    // out_0 = sum of factors[t] x0[t], and out_1 likewise with x1; out is none of the inputs.
    void (*multiply_diagonals)(std::uint64_t* out_0, std::uint64_t* out_1,
                               const DiagonalProducts& products, std::size_t n, const Modulus& m);
    // out_b = sum of digits[t] b[t] + factor plus_b, and out_a likewise; out is none of the inputs.
    void (*multiply_key)(std::uint64_t* out_b, std::uint64_t* out_a, const KeyProducts& products,
                         std::size_t n, const Modulus& m);
    // out = sum of x[t] factors[t] / 2^52 + offset, for t below `count`, 1 to kMostCombined. Words
    // x are below 2^50, and the largest of each t add up to kLargestCombined at most; factors are
    // residues of numbers times 2^52.
    void (*combine)(std::uint64_t* out, const std::uint64_t* const* x, const std::uint64_t* factors,
                    std::size_t count, std::uint64_t offset, std::size_t n, const Modulus& m);
    // out = a permuted by an automorphism (ring/automorphism.hpp); out is not a.
    void (*permute)(std::uint64_t* out, const std::uint64_t* a, const Automorphism& automorphism);
    // out = (a - b) w, with the Shoup constant of w; b is any word below 2^51.
    void (*subtract_scale)(std::uint64_t* out, const std::uint64_t* a, const std::uint64_t* b,
                           std::size_t n, std::uint64_t w, std::uint64_t w_shoup, const Modulus& m);

    // out = x mod q for signed integers.
    void (*reduce_integers)(std::uint64_t* out, const std::int64_t* x, std::size_t n,
                            const Modulus& m);
    // The butterflies of the canonical embedding on N/2 complex numbers, in place
    // (ring/embedding_table.hpp).
    void (*coefficients_to_slots)(double* real, double* imaginary, const EmbeddingTable& table);
    void (*slots_to_coefficients)(double* real, double* imaginary, const EmbeddingTable& table);

    // Keystream of ChaCha20 (RFC 8439): `blocks` blocks of 16 words, from block `counter` on.
    // key: 8 words, nonce: 3 words.
    void (*chacha20)(std::uint32_t* out, const std::uint32_t* key, const std::uint32_t* nonce,
                     std::uint32_t counter, std::size_t blocks);
    // Rejection sampling: of keystream words (pairs of them if bits is above 32), each cut to its
    // lowest `bits` bits, those below q are written to out in order, at most `room` of them.
    // Returns how many.
    std::size_t (*accept)(std::uint64_t* out, std::size_t room, const std::uint32_t* words,
                          std::size_t count, const Modulus& m);
    // Discrete Gaussian magnitudes and signs from uniform words, in constant time
    // (ring/gaussian_table.hpp).
    void (*gaussian)(std::int32_t* out, const std::uint64_t* uniform, std::size_t n);
};

extern const Kernel kPortableKernel;
#if defined(STRONGROOM_WITH_AVX2)
extern const Kernel kAvx2Kernel;
#endif
#if defined(STRONGROOM_WITH_AVX512IFMA)
extern const Kernel kAvx512IfmaKernel;
#endif

// Names of the kernels that this processor can run, fastest first.
std::vector<std::string_view> available_kernels();

// A kernel by name, or the fastest for an empty name. Throws std::invalid_argument if this
// processor cannot run it or there is none of that name.
const Kernel& kernel_by_name(std::string_view name);

}  // namespace strongroom::ring
