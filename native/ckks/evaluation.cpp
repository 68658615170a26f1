#include "ckks/evaluation.hpp"

#include <algorithm>
#include <array>
#include <stdexcept>
#include <vector>

#include "ckks/in_values.hpp"
#include "ring/parallel.hpp"

namespace strongroom::ckks {

using ring::Form;
using ring::Polynomial;

void add(Ciphertext& ciphertext, const Ciphertext& other) {
    const auto add_part = [](Polynomial& part, Polynomial term) {
        part.form() == Form::kValues ? term.to_values() : term.to_coefficients();
        part.add(term);
    };
    add_part(ciphertext.c0, other.c0);
    add_part(ciphertext.c1, other.c1);
}

void add_plain(Ciphertext& ciphertext, const Plaintext& plaintext) {
    Polynomial term = plaintext.polynomial;
    ciphertext.c0.form() == Form::kValues ? term.to_values() : term.to_coefficients();
    ciphertext.c0.add(term);
}

void add_at(Ciphertext& ciphertext, std::span<const std::uint32_t> positions,
            std::span<const double> values, double scale) {
    ciphertext.c0.to_coefficients();
    ciphertext.c1.to_coefficients();
    add_rounded(ciphertext.c0, positions, values, scale);
}

Ciphertext multiply_plain(const Ciphertext& ciphertext, const Plaintext& plaintext) {
    if (plaintext.polynomial.form() != Form::kValues) {
        return multiply_plain(ciphertext, Plaintext{plaintext.polynomial.in_values()});
    }
    const InValues values(ciphertext);
    const Ciphertext& input = values[0];
    const ring::RingPointer& ring = ciphertext.c0.ring_pointer();
    const std::size_t limbs = ciphertext.c0.limbs();
    if (plaintext.polynomial.ring_pointer() != ring || plaintext.polynomial.limbs() < limbs) {
        throw std::invalid_argument("a plaintext of another ring or a lower level");
    }
    Ciphertext result{Polynomial::unset(ring, limbs, Form::kValues),
                      Polynomial::unset(ring, limbs, Form::kValues)};
    ring::parallel_for(limbs, [&](std::size_t i) {
        const std::uint64_t* factor = plaintext.polynomial.row(i);
        const ring::Modulus& m = ring->modulus(i);
        const auto multiply = ring->kernel().multiply;
        multiply(result.c0.row(i), input.c0.row(i), factor, ring->degree(), m);
        multiply(result.c1.row(i), input.c1.row(i), factor, ring->degree(), m);
    });
    return result;
}

Ciphertext linear_combination(const Parameters& parameters,
                              std::span<const Ciphertext* const> ciphertexts,
                              std::span<const std::uint64_t> factors,
                              std::span<const std::uint64_t> constants) {
    const std::size_t count = ciphertexts.size();
    const std::size_t limbs = constants.size();
    const ring::RingPointer& ring = parameters.ring();
    if (count == 0 || limbs == 0 || factors.size() != count * limbs) {
        throw std::invalid_argument("each ciphertext has a factor for each prime");
    }
    for (const Ciphertext* ciphertext : ciphertexts) {
        for (const Polynomial* part : {&ciphertext->c0, &ciphertext->c1}) {
            if (part->ring_pointer() != ring || part->limbs() < limbs) {
                throw std::invalid_argument("operands of different rings or levels");
            }
        }
    }
    const InValues inputs(ciphertexts);
    Ciphertext result{Polynomial::unset(ring, limbs, Form::kValues),
                      Polynomial::unset(ring, limbs, Form::kValues)};
    ring::parallel_for(2 * limbs, [&](std::size_t task) {
        // As many terms at a time as any primes allow, the sum so far being one of them.
        constexpr std::size_t kTerms = 7;
        const std::size_t i = task / 2;
        const bool first = task % 2 == 0;
        const ring::Modulus& m = ring->modulus(i);
        std::uint64_t* out = (first ? result.c0 : result.c1).row(i);
        for (std::size_t done = 0; done < count; done += kTerms) {
            std::array<const std::uint64_t*, kTerms + 1> x;
            std::array<std::uint64_t, kTerms + 1> factor;
            std::size_t terms = 0;
            for (std::size_t k = done; k < std::min(count, done + kTerms); ++k, ++terms) {
                x[terms] = (first ? inputs[k].c0 : inputs[k].c1).row(i);
                factor[terms] = ring::reduce_any(factors[i * count + k], m);
            }
            std::uint64_t offset = 0;
            if (done != 0) {
                x[terms] = out;
                factor[terms++] = m.two_52;
            } else if (first) {
                offset = ring::reduce_any(constants[i], m);
            }
            ring->kernel().combine(out, x.data(), factor.data(), terms, offset, ring->degree(), m);
        }
    });
    return result;
}

Ciphertext rescale(const Ciphertext& ciphertext, std::size_t drop) {
    if (drop == 0) return ciphertext;
    if (drop >= ciphertext.c0.limbs()) throw std::invalid_argument("rescaling keeps a prime");
    const std::size_t limbs = ciphertext.c0.limbs() - drop;
    const std::array parts = {&ciphertext.c0, &ciphertext.c1};
    if (ciphertext.c0.form() == ciphertext.c1.form()) {
        std::vector<Polynomial> quotients = ring::divide_and_round(parts, limbs);
        return {std::move(quotients[0]), std::move(quotients[1])};
    }
    return {std::move(ring::divide_and_round({parts.data(), 1}, limbs)[0]),
            std::move(ring::divide_and_round({parts.data() + 1, 1}, limbs)[0])};
}

void truncate(Ciphertext& ciphertext, std::size_t limbs) {
    ciphertext.c0.truncate(limbs);
    ciphertext.c1.truncate(limbs);
}

Ciphertext sanitise(const Parameters& parameters, Ciphertext ciphertext, const PublicKey& key,
                    std::span<const std::uint32_t> positions, double log_sigma) {
    const ring::RingPointer& ring = parameters.ring();
    const std::size_t n = parameters.ring_degree();
    const std::size_t limbs = ciphertext.c0.limbs();
    if (key.b.limbs() < limbs) throw std::invalid_argument("the public key has too few primes");
    std::vector<char> declared(n, 0);
    for (const std::uint32_t position : positions) {
        if (position >= n || declared[position] != 0) {
            throw std::invalid_argument("a declared coefficient does not exist or comes twice");
        }
        declared[position] = 1;
    }
    // The encryption of zero (b u + e0, a u + e1), of which only declared coefficients of the first
    // part are ever needed.
    Polynomial u = ring::lift(ring, limbs, ring::sample_ternary(n));
    u.to_values();
    Polynomial mask0 = u;
    Polynomial mask1 = std::move(u);
    mask0.multiply(key.b);
    mask1.multiply(key.a);
    mask0.to_coefficients();
    mask1.to_coefficients();
    ciphertext.c0.to_coefficients();
    ciphertext.c1.to_coefficients();
    ciphertext.c1.add(mask1);
    ciphertext.c1.add_small(ring::sample_error(n, ring->kernel()));
    const std::size_t padded = (positions.size() + 7) / 8 * 8;
    const auto error = ring::sample_error(padded, ring->kernel());
    Polynomial result(ring, limbs, Form::kCoefficients);
    for (std::size_t l = 0; l < limbs; ++l) {
        const ring::Modulus& m = ring->modulus(l);
        for (std::size_t i = 0; i < positions.size(); ++i) {
            const std::size_t p = positions[i];
            const std::int64_t e = error[i];
            const std::uint64_t residue =
                static_cast<std::uint64_t>(e) + (m.value & static_cast<std::uint64_t>(e >> 63));
            result.row(l)[p] = ring::add_mod(
                ring::add_mod(ciphertext.c0.row(l)[p], mask0.row(l)[p], m), residue, m);
        }
    }
    // Divided by the public key, they are u, which would unmask the result.
    mask0.wipe_all();
    mask1.wipe_all();
    ring::add_flood(result, positions, ring::sample_flood(positions.size(), log_sigma));
    return Ciphertext{std::move(result), std::move(ciphertext.c1)};
}

}  // namespace strongroom::ckks
