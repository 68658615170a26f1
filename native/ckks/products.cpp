#include "ckks/products.hpp"

#include <algorithm>
#include <stdexcept>

#include "ckks/in_values.hpp"
#include "ring/parallel.hpp"

namespace strongroom::ckks {

using ring::Form;
using ring::Polynomial;

namespace {

void require_level(const Ciphertext& ciphertext, const ring::RingPointer& ring, std::size_t limbs) {
    for (const Polynomial* part : {&ciphertext.c0, &ciphertext.c1}) {
        if (part->ring_pointer() != ring || part->limbs() != limbs) {
            throw std::invalid_argument("operands of different rings or levels");
        }
    }
}

// What an automorphism's key switch adds.
AddRows c0_of(const Ciphertext& ciphertext) {
    return [&ciphertext](std::size_t row, std::uint64_t*, std::uint64_t*) {
        return AddedRows{ciphertext.c0.row(row), nullptr};
    };
}

void require_automorphism(const SwitchingKey& key) {
    if (key.automorphism() == nullptr) {
        throw std::invalid_argument("a relinearisation key has no automorphism");
    }
}

}  // namespace

Ciphertext sum_of_products(const Parameters& parameters, std::span<const Ciphertext* const> a,
                           std::span<const Ciphertext* const> b, const SwitchingKey& key,
                           std::size_t drop) {
    if (a.empty() || a.size() != b.size()) throw std::invalid_argument("factors come in pairs");
    const ring::RingPointer& ring = parameters.ring();
    const ring::Kernel& kernel = ring->kernel();
    const std::size_t n = ring->degree();
    const std::size_t count = a.size();
    std::size_t limbs = parameters.limbs();
    for (const auto& factors : {a, b}) {
        for (const Ciphertext* factor : factors) {
            require_level(*factor, ring, factor->c0.limbs());
            limbs = std::min(limbs, factor->c0.limbs());
        }
    }
    require_key(key, ring, limbs);
    if (key.element() != kRelinearisation) throw std::invalid_argument("not a relinearisation key");
    if (drop >= limbs) throw std::invalid_argument("rescaling keeps a prime");
    const InValues left(a);
    const InValues right(b);
    // (a0 + a1 s)(b0 + b1 s) = d0 + d1 s + d2 s^2, summed. Only d2 is needed as a whole; rows of
    // the others are made where they are added.
    const auto component = [&](int which, std::size_t row, std::uint64_t* out) {
        std::vector<const std::uint64_t*> x, y;
        for (const int a1 : {0, 1}) {
            const int b1 = which - a1;
            if (b1 != 0 && b1 != 1) continue;
            for (std::size_t i = 0; i < count; ++i) {
                x.push_back((a1 ? left[i].c1 : left[i].c0).row(row));
                y.push_back((b1 ? right[i].c1 : right[i].c0).row(row));
            }
        }
        kernel.sum_products(out, x.data(), y.data(), x.size(), n, ring->modulus(row));
    };
    Polynomial d2 = Polynomial::unset(ring, limbs, Form::kValues);
    ring::parallel_for(limbs, [&](std::size_t row) { component(2, row, d2.row(row)); });
    Decomposition decomposition(parameters, d2);
    const auto added = [&](std::size_t row, std::uint64_t* room_b, std::uint64_t* room_a) {
        component(0, row, room_b);
        component(1, row, room_a);
        return AddedRows{room_b, room_a};
    };
    return switch_key(decomposition, key, added, drop, false);
}

Ciphertext apply_automorphism(const Parameters& parameters, const Ciphertext& ciphertext,
                              const SwitchingKey& key) {
    const ring::RingPointer& ring = parameters.ring();
    const std::size_t limbs = ciphertext.c0.limbs();
    require_level(ciphertext, ring, limbs);
    require_key(key, ring, limbs);
    require_automorphism(key);
    const InValues input(ciphertext);
    Decomposition decomposition(parameters, input[0].c1);
    return switch_key(decomposition, key, c0_of(input[0]), 0, false);
}

Ciphertext add_automorphism(const Parameters& parameters, const Ciphertext& ciphertext,
                            const SwitchingKey& key, const Ciphertext& added) {
    require_level(added, parameters.ring(), ciphertext.c0.limbs());
    Ciphertext result = apply_automorphism(parameters, ciphertext, key);
    result.c0.to_values();
    result.c1.to_values();
    const InValues input(added);
    const ring::Ring& ring = *parameters.ring();
    const std::size_t limbs = result.c0.limbs();
    ring::parallel_for(2 * limbs, [&](std::size_t i) {
        const std::size_t row = i % limbs;
        ring::Polynomial& sum = i < limbs ? result.c0 : result.c1;
        const ring::Polynomial& part = i < limbs ? input[0].c0 : input[0].c1;
        ring.kernel().add(sum.row(row), sum.row(row), part.row(row), ring.degree(),
                          ring.modulus(row));
    });
    return result;
}

std::vector<Ciphertext> apply_automorphisms(const Parameters& parameters,
                                            const Ciphertext& ciphertext,
                                            std::span<const SwitchingKey* const> keys) {
    const ring::RingPointer& ring = parameters.ring();
    const std::size_t limbs = ciphertext.c0.limbs();
    require_level(ciphertext, ring, limbs);
    for (const SwitchingKey* key : keys) {
        require_key(*key, ring, limbs);
        require_automorphism(*key);
    }
    const InValues input(ciphertext);
    Decomposition decomposition(parameters, input[0].c1);
    decomposition.transform_all();
    std::vector<Ciphertext> results;
    results.reserve(keys.size());
    for (const SwitchingKey* key : keys) {
        results.push_back(switch_key(decomposition, *key, c0_of(input[0]), 0, true));
    }
    return results;
}

}  // namespace strongroom::ckks
