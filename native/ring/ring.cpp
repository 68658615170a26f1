#include "ring/ring.hpp"

#include <algorithm>
#include <array>
#include <stdexcept>

#include "ring/parallel.hpp"
#include "ring/rounded_division.hpp"

namespace strongroom::ring {

Ring::Ring(std::size_t degree, std::span<const std::uint64_t> primes,
           std::span<const std::uint64_t> special_primes, std::string_view kernel)
    : degree_(degree),
      limbs_(primes.size()),
      embedding_(degree),
      kernel_(&kernel_by_name(kernel)),
      conversions_(2 * (limbs_ + 1) * (limbs_ + 1)) {
    if (primes.empty()) throw std::invalid_argument("a ring needs at least one prime");
    std::vector<std::uint64_t> chain(primes.begin(), primes.end());
    chain.insert(chain.end(), special_primes.begin(), special_primes.end());
    tables_.reserve(chain.size());
    for (std::size_t i = 0; i < chain.size(); ++i) {
        tables_.emplace_back(degree, chain[i]);
        inverses_.emplace_back();
        for (std::size_t j = 0; j < i; ++j) {
            if (chain[j] == chain[i]) {
                throw std::invalid_argument("a prime occurs twice in the chain");
            }
            inverses_[i].emplace_back(inverse_mod(chain[i] % chain[j], modulus(j)), modulus(j));
        }
    }
}

Ring::~Ring() {
    for (const auto& conversion : conversions_) delete conversion.load();
}

const BaseConversion& Ring::conversion(std::size_t begin, std::size_t end, bool special) const {
    std::atomic<const BaseConversion*>& place =
        conversions_.at((begin * (limbs_ + 1) + end) * 2 + (special ? 1 : 0));
    const BaseConversion* existing = place.load(std::memory_order_acquire);
    if (existing != nullptr) return *existing;
    std::vector<std::size_t> sources;
    for (std::size_t i = begin; i < end; ++i) sources.push_back(i);
    for (std::size_t i = limbs(); special && i < primes(); ++i) sources.push_back(i);
    auto fresh = std::make_unique<BaseConversion>(*this, std::move(sources));
    // Another thread may have been quicker.
    if (place.compare_exchange_strong(existing, fresh.get())) return *fresh.release();
    return *existing;
}

bool Ring::converts(std::size_t begin, std::size_t end, bool special) const {
    const std::size_t count = end - begin + (special ? special_limbs() : 0);
    std::uint64_t sum = 0;
    for (std::size_t i = begin; i < end; ++i) sum += modulus(i).value;
    for (std::size_t i = limbs(); special && i < primes(); ++i) sum += modulus(i).value;
    return count <= kMostCombined && sum <= kLargestCombined;
}

Polynomial::Polynomial(Unset, RingPointer ring, std::size_t limbs, Form form, Extent extent)
    : ring_(std::move(ring)), limbs_(limbs), form_(form), extent_(extent) {
    if (limbs == 0 || limbs > ring_->limbs()) {
        throw std::invalid_argument("the number of limbs is not in the ring's chain");
    }
    words_.resize(rows() * ring_->row_words());
}

Polynomial::Polynomial(RingPointer ring, std::size_t limbs, Form form, Extent extent)
    : Polynomial(Unset{}, std::move(ring), limbs, form, extent) {
    std::fill(words_.begin(), words_.end(), 0);
}

Polynomial Polynomial::unset(RingPointer ring, std::size_t limbs, Form form, Extent extent) {
    return Polynomial(Unset{}, std::move(ring), limbs, form, extent);
}

void Polynomial::to_values() {
    if (form_ == Form::kValues) return;
    parallel_for(rows(), [&](std::size_t i) {
        ring_->kernel().forward_ntt(row(i), ring_->table(prime(i)));
    });
    form_ = Form::kValues;
}

void Polynomial::to_coefficients() {
    if (form_ == Form::kCoefficients) return;
    parallel_for(rows(), [&](std::size_t i) {
        ring_->kernel().inverse_ntt(row(i), row(i), ring_->table(prime(i)));
    });
    form_ = Form::kCoefficients;
}

Polynomial Polynomial::in_values() const {
    Polynomial copy = *this;
    copy.to_values();
    return copy;
}

void Polynomial::require_like(const Polynomial& other) const {
    if (ring_ != other.ring_ || form_ != other.form_ || limbs_ != other.limbs_ ||
        extent_ != other.extent_) {
        throw std::invalid_argument("polynomials of different rings, forms or levels");
    }
}

void Polynomial::require_factor(const Polynomial& other) const {
    if (ring_ != other.ring_ || form_ != Form::kValues || other.form_ != Form::kValues ||
        other.limbs_ < limbs_ || (extent_ == Extent::kWithSpecial && other.extent_ != extent_)) {
        throw std::invalid_argument("only values over the same ring and level multiply");
    }
}

void Polynomial::add(const Polynomial& other) {
    require_like(other);
    parallel_for(rows(), [&](std::size_t i) {
        ring_->kernel().add(row(i), row(i), other.row(i), degree(), modulus(i));
    });
}

void Polynomial::subtract(const Polynomial& other) {
    require_like(other);
    parallel_for(rows(), [&](std::size_t i) {
        ring_->kernel().subtract(row(i), row(i), other.row(i), degree(), modulus(i));
    });
}

void Polynomial::negate() {
    const Words zero(degree(), 0);
    for (std::size_t i = 0; i < rows(); ++i) {
        ring_->kernel().subtract(row(i), zero.data(), row(i), degree(), modulus(i));
    }
}

void Polynomial::multiply(const Polynomial& other) {
    require_factor(other);
    parallel_for(rows(), [&](std::size_t i) {
        ring_->kernel().multiply(row(i), row(i), row_of(other, i), degree(), modulus(i));
    });
}

void Polynomial::multiply_add(const Polynomial& a, const Polynomial& b) {
    require_like(a);
    require_factor(b);
    parallel_for(rows(), [&](std::size_t i) {
        ring_->kernel().multiply_add(row(i), a.row(i), row_of(b, i), degree(), modulus(i));
    });
}

void Polynomial::add_small(std::span<const std::int32_t> small) {
    if (form_ != Form::kCoefficients || small.size() > degree()) {
        throw std::invalid_argument("small numbers are added to at most N coefficients");
    }
    const std::size_t padded = (small.size() + 7) / 8 * 8;
    Secret<std::int64_t> wide(padded);
    std::copy(small.begin(), small.end(), wide.begin());
    parallel_for(rows(), [&](std::size_t i) {
        Secret<std::uint64_t> residues(padded);
        ring_->kernel().reduce_integers(residues.data(), wide.data(), padded, modulus(i));
        ring_->kernel().add(row(i), row(i), residues.data(), padded, modulus(i));
    });
}

void Polynomial::truncate(std::size_t limbs) {
    if (limbs == 0 || limbs > limbs_) {
        throw std::invalid_argument("a polynomial can only lose limbs, and keeps one");
    }
    limbs_ = limbs;
    extent_ = Extent::kData;
    words_.resize(limbs * ring_->row_words());
}

std::vector<Polynomial> divide_and_round(std::span<const Polynomial* const> polynomials,
                                         std::size_t limbs, const Automorphism* automorphism) {
    const Polynomial& first = *polynomials[0];
    const bool special = first.extent() == Extent::kWithSpecial;
    const bool values = first.form() == Form::kValues;
    if (limbs == 0 || limbs > first.limbs() || (limbs == first.limbs() && !special) ||
        (automorphism != nullptr && !values)) {
        throw std::invalid_argument("division drops at least one prime, and keeps one");
    }
    for (const Polynomial* polynomial : polynomials) first.require_like(*polynomial);
    const Ring& ring = first.ring();
    if (!ring.converts(limbs, first.limbs(), special)) {
        // The special primes alone, or as many data primes as can go at once.
        std::size_t rest = first.limbs();
        while (!special && rest > limbs && ring.converts(rest - 1, first.limbs(), false)) --rest;
        const std::vector<Polynomial> quotients = divide_and_round(polynomials, rest);
        std::vector<const Polynomial*> pointers;
        for (const Polynomial& quotient : quotients) pointers.push_back(&quotient);
        return divide_and_round(pointers, limbs, automorphism);
    }
    const std::size_t count = polynomials.size();
    RoundedDivision division(first.ring_pointer(), count, first.limbs(), special, limbs,
                             first.form());
    parallel_for(count * division.dropped(), [&](std::size_t task) {
        const std::size_t k = task / count;
        division.take_row(task % count, k, polynomials[task % count]->row(limbs + k));
    });
    division.prepare();
    parallel_for(count * limbs, [&](std::size_t task) {
        const std::size_t i = task / count;
        division.finish_row(task % count, i, polynomials[task % count]->row(i), automorphism);
    });
    return std::move(division).results();
}

Polynomial lift(const RingPointer& ring, std::size_t limbs, std::span<const std::int32_t> small,
                Extent extent) {
    if (small.size() != ring->degree()) {
        throw std::invalid_argument("a polynomial has N small coefficients");
    }
    Polynomial result = Polynomial::unset(ring, limbs, Form::kCoefficients, extent);
    Secret<std::int64_t> wide(small.begin(), small.end());
    parallel_for(result.rows(), [&](std::size_t i) {
        ring->kernel().reduce_integers(result.row(i), wide.data(), small.size(), result.modulus(i));
    });
    return result;
}

}  // namespace strongroom::ring
