#include "ckks/encryption.hpp"

#include <stdexcept>

#include "ring/parallel.hpp"
#include "ring/rounded_division.hpp"

namespace strongroom::ckks {

using ring::Form;
using ring::Polynomial;

SeededCiphertext encrypt_symmetric(const Parameters& parameters, const Plaintext& plaintext,
                                   const SecretKey& secret) {
    const ring::Seed seed = ring::random_seed();
    Polynomial a = ring::expand_uniform(parameters.ring(), plaintext.polynomial.limbs(), seed,
                                        ring::Purpose::kCiphertext);
    const Polynomial& message = plaintext.polynomial;
    const ring::RingPointer& ring = parameters.ring();
    Polynomial c0 =
        ring::lift(ring, message.limbs(), ring::sample_error(ring->degree(), ring->kernel()));
    if (message.form() == Form::kValues) c0.to_values();
    c0.add(message);
    Polynomial product = a;
    product.multiply(secret.values());
    if (c0.form() == Form::kCoefficients) product.to_coefficients();
    c0.subtract(product);
    product.wipe_all();  // divided by the public `a` it is the key
    return SeededCiphertext{seed, Ciphertext{std::move(c0), std::move(a)}};
}

Ciphertext restore_seeded(const Parameters& parameters, const ring::Seed& seed, Polynomial c0) {
    if (c0.ring_pointer() != parameters.ring()) {
        throw std::invalid_argument("a ciphertext over another ring");
    }
    Polynomial a =
        ring::expand_uniform(parameters.ring(), c0.limbs(), seed, ring::Purpose::kCiphertext);
    return Ciphertext{std::move(c0), std::move(a)};
}

namespace {

// round((b u + e0) / P), round((a u + e1) / P) in values form: row by row, and without a transform
// of the errors of their own.
Ciphertext divided_encryption_of_zero(const PublicKey& key, std::size_t limbs) {
    const ring::RingPointer& ring = key.b.ring_pointer();
    const ring::Kernel& kernel = ring->kernel();
    const std::size_t n = ring->degree();
    const auto ternary = ring::sample_ternary(n);
    const ring::Secret<std::int64_t> u(ternary.begin(), ternary.end());
    ring::RoundedDivision division(ring, 2, limbs, true, limbs, Form::kValues);
    for (const std::size_t p : {0, 1}) division.add_small(p, ring::sample_error(n, kernel));
    const auto with_products = [&](std::size_t prime, std::size_t key_row, const auto& use) {
        ring::Secret<std::uint64_t> values(n), b(n), a(n);
        const ring::Modulus& m = ring->modulus(prime);
        kernel.reduce_integers(values.data(), u.data(), n, m);
        kernel.forward_ntt(values.data(), ring->table(prime));
        kernel.multiply(b.data(), values.data(), key.b.row(key_row), n, m);
        kernel.multiply(a.data(), values.data(), key.a.row(key_row), n, m);
        use(b.data(), a.data());
    };
    ring::parallel_for(division.dropped(), [&](std::size_t k) {
        with_products(ring->limbs() + k, key.b.limbs() + k,
                      [&](const std::uint64_t* b, const std::uint64_t* a) {
                          division.take_row(0, k, b);
                          division.take_row(1, k, a);
                      });
    });
    division.prepare();
    ring::parallel_for(limbs, [&](std::size_t row) {
        with_products(row, row, [&](const std::uint64_t* b, const std::uint64_t* a) {
            division.finish_row(0, row, b, nullptr);
            division.finish_row(1, row, a, nullptr);
        });
    });
    std::vector<Polynomial> quotients = std::move(division).results();
    return {std::move(quotients[0]), std::move(quotients[1])};
}

// (b u + e0, a u + e1) in coefficient form.
Ciphertext encryption_of_zero(const PublicKey& key, std::size_t limbs) {
    const ring::RingPointer& ring = key.b.ring_pointer();
    Polynomial u = ring::lift(ring, limbs, ring::sample_ternary(ring->degree()));
    u.to_values();
    Ciphertext zero{u, std::move(u)};
    zero.c0.multiply(key.b);
    zero.c1.multiply(key.a);
    for (Polynomial* part : {&zero.c0, &zero.c1}) {
        part->to_coefficients();
        part->add_small(ring::sample_error(ring->degree(), ring->kernel()));
    }
    return zero;
}

}  // namespace

Ciphertext encrypt_public(const Parameters& parameters, const Plaintext& plaintext,
                          const PublicKey& key) {
    const Polynomial& message = plaintext.polynomial;
    const std::size_t limbs = message.limbs();
    if (key.b.ring_pointer() != parameters.ring()) {
        throw std::invalid_argument("a public key of other parameters");
    }
    if (key.b.limbs() < limbs) throw std::invalid_argument("the public key has too few primes");
    Ciphertext zero = key.b.extent() == ring::Extent::kWithSpecial
                          ? divided_encryption_of_zero(key, limbs)
                          : encryption_of_zero(key, limbs);
    for (Polynomial* part : {&zero.c0, &zero.c1}) {
        message.form() == Form::kValues ? part->to_values() : part->to_coefficients();
    }
    zero.c0.add(message);
    return zero;
}

Plaintext decrypt_raw(const Ciphertext& ciphertext, const SecretKey& secret) {
    const bool values = ciphertext.c0.form() == Form::kValues;
    Polynomial result =
        ciphertext.c1.form() == Form::kValues ? ciphertext.c1 : ciphertext.c1.in_values();
    result.multiply(secret.values());
    if (!values) result.to_coefficients();
    result.add(ciphertext.c0);
    return Plaintext{std::move(result)};
}

std::vector<double> decrypt_flooded(const Ciphertext& ciphertext, const SecretKey& secret,
                                    std::span<const std::uint32_t> positions, double scale,
                                    double log_sigma) {
    Plaintext message = decrypt_raw(ciphertext, secret);
    message.polynomial.to_coefficients();
    ring::add_flood(message.polynomial, positions, ring::sample_flood(positions.size(), log_sigma));
    std::vector<double> result = centred(message.polynomial, positions, scale);
    message.polynomial.wipe_all();
    return result;
}

}  // namespace strongroom::ckks
