#include "ckks/key_switching.hpp"

#include <algorithm>
#include <stdexcept>

#include "ckks/evaluation.hpp"
#include "ring/parallel.hpp"
#include "ring/rounded_division.hpp"

namespace strongroom::ckks {

using ring::Extent;
using ring::Form;
using ring::Polynomial;

Decomposition::Decomposition(const Parameters& parameters, const Polynomial& x)
    : x_(x), rows_(x.limbs() + x.ring().special_limbs()) {
    const ring::Ring& ring = x.ring();
    const ring::Kernel& kernel = ring.kernel();
    const std::size_t n = ring.degree();
    const std::size_t limbs = x.limbs();
    if (x.form() != Form::kValues || x.extent() != Extent::kData ||
        x.ring_pointer() != parameters.ring() || parameters.digit_ends().empty()) {
        throw std::invalid_argument("only values modulo data primes are decomposed");
    }
    std::size_t begin = 0;
    for (const std::size_t end : parameters.digit_ends()) {
        Digit digit{begin, std::min(end, limbs), {}};
        digit.extended.resize(rows_of(digit) * ring.row_words());
        digits_.push_back(std::move(digit));
        begin = end;
        if (end >= limbs) break;
    }
    Polynomial coefficients = Polynomial::unset(x.ring_pointer(), limbs, Form::kCoefficients);
    ring::parallel_for(limbs, [&](std::size_t i) {
        kernel.inverse_ntt(coefficients.row(i), x.row(i), ring.table(i));
    });
    const std::size_t block = std::min(ring::kConversionBlock, n);
    const std::size_t blocks = n / block;
    std::vector<const ring::BaseConversion*> conversions;
    for (const Digit& digit : digits_) {
        conversions.push_back(&ring.conversion(digit.begin, digit.end, false));
    }
    ring::parallel_for(digits_.size() * blocks, [&](std::size_t task) {
        const std::size_t d = task / blocks;
        Digit& digit = digits_[d];
        const std::size_t at = task % blocks * block;
        const std::size_t count = digit.end - digit.begin;
        std::array<std::uint64_t*, ring::kMostCombined> sources;
        for (std::size_t i = 0; i < count; ++i) {
            sources[i] = coefficients.row(digit.begin + i) + at;
        }
        conversions[d]->to_digits({sources.data(), count}, block);
        for (std::size_t row = 0; row < rows_; ++row) {
            if (row >= digit.begin && row < digit.end) continue;
            const std::size_t prime = row < limbs ? row : row - limbs + ring.limbs();
            conversions[d]->to_residues(extended_row(digit, row) + at, {sources.data(), count},
                                        prime, block);
        }
    });
}

void Decomposition::transform_row(std::size_t row) {
    const ring::Ring& ring = x_.ring();
    const std::size_t limbs = x_.limbs();
    const ring::NttTable& table = ring.table(row < limbs ? row : row - limbs + ring.limbs());
    for (Digit& digit : digits_) {
        if (row >= digit.begin && row < digit.end) continue;
        ring.kernel().forward_ntt(extended_row(digit, row), table);
    }
}

void Decomposition::transform_all() {
    ring::parallel_for(rows_, [&](std::size_t row) { transform_row(row); });
}

void Decomposition::multiply_row(const SwitchingKey& key, std::size_t row, std::uint64_t* out_b,
                                 std::uint64_t* out_a, const std::uint64_t* plus_b,
                                 const std::uint64_t* plus_a) const {
    const ring::Ring& ring = x_.ring();
    const std::size_t n = ring.degree();
    const std::size_t limbs = x_.limbs();
    const ring::Modulus& m = ring.modulus(row < limbs ? row : row - limbs + ring.limbs());
    const std::size_t key_row = row < limbs ? row : row - limbs + key.limbs();
    std::vector<const std::uint64_t*> rows, b, a;
    for (std::size_t d = 0; d < digits_.size(); ++d) {
        const Digit& digit = digits_[d];
        const bool own = row >= digit.begin && row < digit.end;
        const std::size_t i = row < digit.begin ? row : row - (digit.end - digit.begin);
        rows.push_back(own ? x_.row(row) : digit.extended.data() + i * ring.row_words());
        b.push_back(key.b(d, key_row));
        a.push_back(key.a(d, key_row));
    }
    ring::KeyProducts products{.digits = rows, .b = b, .a = a};
    if (row < limbs) {
        products.plus_b = plus_b;
        products.plus_a = plus_a;
        products.factor = ring.conversion(0, 0, true).product(row);
    }
    ring.kernel().multiply_key(out_b, out_a, products, n, m);
}

ExtendedCiphertext ExtendedCiphertext::unset(const Parameters& parameters, std::size_t limbs) {
    return {Polynomial::unset(parameters.ring(), limbs, Form::kValues, Extent::kWithSpecial),
            Polynomial::unset(parameters.ring(), limbs, Form::kValues, Extent::kWithSpecial)};
}

Ciphertext switch_key(Decomposition& decomposition, const SwitchingKey& key, const AddRows& added,
                      std::size_t drop, bool are_values) {
    const ring::RingPointer& ring = key.ring();
    const std::size_t limbs = decomposition.limbs();
    if (drop >= limbs) throw std::invalid_argument("rescaling keeps a prime");
    if (!ring->converts(limbs - drop, limbs, true)) {
        return rescale(switch_key(decomposition, key, added, 0, are_values), drop);
    }
    const std::size_t kept = limbs - drop;
    const std::size_t n = ring->degree();
    ring::RoundedDivision division(ring, 2, limbs, true, kept, Form::kValues);
    const auto with_row = [&](std::size_t row, const auto& use) {
        ring::Words b(n), a(n), room_b(n), room_a(n);
        const AddedRows plus = row < limbs ? added(row, room_b.data(), room_a.data()) : AddedRows{};
        if (!are_values) decomposition.transform_row(row);
        decomposition.multiply_row(key, row, b.data(), a.data(), plus.b, plus.a);
        use(b.data(), a.data());
    };
    // Rows of primes that go, then the others: those need never be kept.
    ring::parallel_for(division.dropped(), [&](std::size_t k) {
        with_row(kept + k, [&](const std::uint64_t* b, const std::uint64_t* a) {
            division.take_row(0, k, b);
            division.take_row(1, k, a);
        });
    });
    division.prepare();
    ring::parallel_for(kept, [&](std::size_t row) {
        with_row(row, [&](const std::uint64_t* b, const std::uint64_t* a) {
            division.finish_row(0, row, b, key.automorphism());
            division.finish_row(1, row, a, key.automorphism());
        });
    });
    std::vector<Polynomial> quotients = std::move(division).results();
    return {std::move(quotients[0]), std::move(quotients[1])};
}

Ciphertext finish(const ExtendedCiphertext& extended, std::size_t drop) {
    const std::size_t limbs = extended.c0.limbs();
    if (drop >= limbs) throw std::invalid_argument("rescaling keeps a prime");
    const std::array<const Polynomial*, 2> parts = {&extended.c0, &extended.c1};
    std::vector<Polynomial> quotients = ring::divide_and_round(parts, limbs - drop);
    return {std::move(quotients[0]), std::move(quotients[1])};
}

void require_key(const SwitchingKey& key, const ring::RingPointer& ring, std::size_t limbs) {
    if (key.ring() != ring || key.limbs() < limbs) {
        throw std::invalid_argument("a switching key of other parameters or a lower level");
    }
}

}  // namespace strongroom::ckks
