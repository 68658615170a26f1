#include "threshold/relinearisation.hpp"

#include <algorithm>
#include <stdexcept>

#include "threshold/polynomial_bytes.hpp"

namespace strongroom::threshold {

using ring::Extent;
using ring::Form;
using ring::Polynomial;

namespace {

Polynomial small_values(const ring::RingPointer& ring, std::size_t limbs,
                        const ring::Secret<std::int32_t>& small) {
    Polynomial result = ring::lift(ring, limbs, small, Extent::kWithSpecial);
    result.to_values();
    return result;
}

Polynomial error_values(const ring::RingPointer& ring, std::size_t limbs) {
    return small_values(ring, limbs, ring::sample_error(ring->degree(), ring->kernel()));
}

// out += P g r, for the digit of data primes `begin` to `end`; modulo all other primes, P g is 0.
void add_gadget_product(Polynomial& out, const Polynomial& r, std::size_t begin, std::size_t end) {
    const ring::Ring& ring = out.ring();
    const std::size_t n = ring.degree();
    ring::Secret<std::uint64_t> product(n);
    for (std::size_t row = begin; row < std::min(end, out.limbs()); ++row) {
        const std::uint64_t special = ring.conversion(0, 0, true).product_times_two_52(row);
        const std::uint64_t* term = r.row(row);
        ring.kernel().combine(product.data(), &term, &special, 1, 0, n, ring.modulus(row));
        ring.kernel().add(out.row(row), out.row(row), product.data(), n, ring.modulus(row));
    }
}

// Halves of a key laid out as ckks::SwitchingKey has them.
ring::Words words_of(std::span<const Polynomial* const> halves) {
    const std::size_t rows = halves[0]->rows();
    const std::size_t row_words = halves[0]->ring().row_words();
    ring::Words words(halves.size() * rows * row_words, 0);
    for (std::size_t k = 0; k < halves.size(); ++k) {
        for (std::size_t row = 0; row < rows; ++row) {
            std::copy_n(halves[k]->row(row), halves[k]->degree(),
                        words.data() + (k * rows + row) * row_words);
        }
    }
    return words;
}

}  // namespace

std::pair<RelinearisationRound, Share> RelinearisationRound::begin(
    const ckks::Parameters& parameters, const KeyPart& part, const ring::Seed& seed,
    std::size_t limbs) {
    const ring::RingPointer& ring = parameters.ring();
    const Polynomial& r = part.values();
    const std::size_t digits = digits_of(parameters, limbs);
    if (r.ring_pointer() != ring)
        throw std::invalid_argument("a part of a key of other parameters");
    RelinearisationRound round(small_values(ring, limbs, ring::sample_ternary(ring->degree())),
                               digits);
    Share share;
    for (std::size_t digit = 0; digit < digits; ++digit) {
        const Polynomial a =
            ring::expand_uniform(ring, limbs, seed, ring::Purpose::kSwitchingKey,
                                 static_cast<std::uint32_t>(digit), Extent::kWithSpecial);
        Polynomial h0 = error_values(ring, limbs);
        Polynomial product = a;
        product.multiply(round.ephemeral_);
        h0.subtract(product);
        product.wipe_all();  // divided by the public `a` it is the ephemeral secret
        add_gadget_product(h0, r, digit == 0 ? 0 : parameters.digit_ends()[digit - 1],
                           parameters.digit_ends()[digit]);
        Polynomial h1 = error_values(ring, limbs);
        h1.multiply_add(a, r);
        share.push_back(std::move(h0));
        share.push_back(std::move(h1));
    }
    return {std::move(round), std::move(share)};
}

Share RelinearisationRound::finish(const KeyPart& part, const Share& sum) {
    if (digits_ == 0) throw std::logic_error("a second round is answered once");
    const Polynomial& r = part.values();
    if (sum.size() != 2 * digits_ || r.ring_pointer() != ephemeral_.ring_pointer()) {
        throw std::invalid_argument("a sum of first shares for another key");
    }
    for (const Polynomial& polynomial : sum) ephemeral_.require_like(polynomial);
    Share share;
    for (std::size_t digit = 0; digit < digits_; ++digit) {
        const Polynomial& h0 = sum[2 * digit];
        const Polynomial& h1 = sum[2 * digit + 1];
        Polynomial result = error_values(ephemeral_.ring_pointer(), ephemeral_.limbs());
        Polynomial error = error_values(ephemeral_.ring_pointer(), ephemeral_.limbs());
        result.add(error);
        error.wipe_all();
        result.multiply_add(h0, r);
        result.multiply_add(h1, ephemeral_);
        Polynomial product = h1;
        product.multiply(r);
        result.subtract(product);
        product.wipe_all();
        share.push_back(std::move(result));
    }
    ephemeral_.wipe_all();
    digits_ = 0;
    return share;
}

ring::Words collective_relinearisation_key(const ckks::Parameters& parameters, const Share& first,
                                           const Share& second) {
    if (second.empty() || first.size() != 2 * second.size() ||
        second.size() != digits_of(parameters, second[0].limbs())) {
        throw std::invalid_argument("sums of the two rounds are of different keys");
    }
    for (const Share* share : {&first, &second}) {
        for (const Polynomial& polynomial : *share) second[0].require_like(polynomial);
    }
    std::vector<const Polynomial*> halves;
    for (std::size_t digit = 0; digit < second.size(); ++digit) {
        halves.push_back(&second[digit]);
        halves.push_back(&first[2 * digit + 1]);
    }
    return words_of(halves);
}

}  // namespace strongroom::threshold
