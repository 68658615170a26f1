#include "ring/ring.hpp"

#include <algorithm>
#include <stdexcept>

namespace strongroom::ring {

Ring::Ring(std::size_t degree, std::span<const std::uint64_t> primes, std::string_view kernel)
    : degree_(degree), kernel_(&kernel_by_name(kernel)) {
    if (primes.empty()) throw std::invalid_argument("a ring needs at least one prime");
    tables_.reserve(primes.size());
    for (std::size_t i = 0; i < primes.size(); ++i) {
        if (std::find(primes.begin(), primes.begin() + static_cast<std::ptrdiff_t>(i), primes[i]) !=
            primes.begin() + static_cast<std::ptrdiff_t>(i)) {
            throw std::invalid_argument("a prime occurs twice in the chain");
        }
        tables_.emplace_back(degree, primes[i]);
        inverses_.emplace_back();
        for (std::size_t j = 0; j < i; ++j) {
            const std::uint64_t value = inverse_mod(primes[i] % primes[j], modulus(j));
            inverses_[i].push_back({value, shoup_constant(value, modulus(j))});
        }
    }
}

Polynomial::Polynomial(RingPointer ring, std::size_t limbs, Form form)
    : ring_(std::move(ring)), limbs_(limbs), form_(form) {
    if (limbs == 0 || limbs > ring_->limbs()) {
        throw std::invalid_argument("the number of limbs is not in the ring's chain");
    }
    words_.resize(limbs * ring_->degree());
}

void Polynomial::to_values() {
    if (form_ == Form::kValues) return;
    for (std::size_t i = 0; i < limbs_; ++i) ring_->kernel().forward_ntt(limb(i), ring_->table(i));
    form_ = Form::kValues;
}

void Polynomial::to_coefficients() {
    if (form_ == Form::kCoefficients) return;
    for (std::size_t i = 0; i < limbs_; ++i) ring_->kernel().inverse_ntt(limb(i), ring_->table(i));
    form_ = Form::kCoefficients;
}

void Polynomial::require_like(const Polynomial& other) const {
    if (ring_ != other.ring_ || form_ != other.form_ || limbs_ != other.limbs_) {
        throw std::invalid_argument("polynomials of different rings, forms or levels");
    }
}

void Polynomial::add(const Polynomial& other) {
    require_like(other);
    for (std::size_t i = 0; i < limbs_; ++i) {
        ring_->kernel().add(limb(i), limb(i), other.limb(i), degree(), ring_->modulus(i));
    }
}

void Polynomial::subtract(const Polynomial& other) {
    require_like(other);
    for (std::size_t i = 0; i < limbs_; ++i) {
        ring_->kernel().subtract(limb(i), limb(i), other.limb(i), degree(), ring_->modulus(i));
    }
}

void Polynomial::multiply(const Polynomial& other) {
    if (ring_ != other.ring_ || form_ != Form::kValues || other.form_ != Form::kValues ||
        other.limbs_ < limbs_) {
        throw std::invalid_argument("only values over the same ring and level multiply");
    }
    for (std::size_t i = 0; i < limbs_; ++i) {
        ring_->kernel().multiply(limb(i), limb(i), other.limb(i), degree(), ring_->modulus(i));
    }
}

void Polynomial::multiply_add(const Polynomial& a, const Polynomial& b) {
    require_like(a);
    if (ring_ != b.ring_ || form_ != Form::kValues || b.form_ != Form::kValues ||
        b.limbs_ < limbs_) {
        throw std::invalid_argument("only values over the same ring and level multiply");
    }
    for (std::size_t i = 0; i < limbs_; ++i) {
        ring_->kernel().multiply_add(limb(i), a.limb(i), b.limb(i), degree(), ring_->modulus(i));
    }
}

void Polynomial::add_small(std::span<const std::int32_t> small) {
    if (form_ != Form::kCoefficients || small.size() > degree()) {
        throw std::invalid_argument("small numbers are added to at most N coefficients");
    }
    for (std::size_t i = 0; i < limbs_; ++i) {
        const std::uint64_t q = ring_->modulus(i).value;
        std::uint64_t* out = limb(i);
        for (std::size_t j = 0; j < small.size(); ++j) {
            const std::int64_t x = small[j];
            const std::uint64_t residue =
                static_cast<std::uint64_t>(x) + (q & static_cast<std::uint64_t>(x >> 63));
            out[j] = reduce_once(out[j] + residue, q);
        }
    }
}

void Polynomial::truncate(std::size_t limbs) {
    if (limbs == 0 || limbs > limbs_) {
        throw std::invalid_argument("a polynomial can only lose limbs, and keeps one");
    }
    limbs_ = limbs;
    words_.resize(limbs * degree());
}

// With p the last prime and h = floor(p/2): round(x / p) = (x + h - ((x + h) mod p)) / p.
// Adding h to x and taking it off again after the reduction of the last residue costs nothing
// more than a shift of that residue: (x_i - (r - h)) / p with r = (x + h) mod p. To keep words
// non-negative, the kernel subtracts r and h goes back in through r' = r + (q_i - h mod q_i).
void Polynomial::divide_by_last() {
    if (limbs_ < 2) throw std::invalid_argument("the last prime cannot be divided away");
    const std::size_t last = limbs_ - 1;
    const Modulus& p = ring_->modulus(last);
    const Kernel& kernel = ring_->kernel();
    const std::size_t n = degree();
    const std::uint64_t half = p.value / 2;
    const bool values = form_ == Form::kValues;
    Words remainder(limb(last), limb(last) + n);
    if (values) kernel.inverse_ntt(remainder.data(), ring_->table(last));
    for (std::uint64_t& r : remainder) r = add_mod(r, half, p);
    Words shifted(n);
    for (std::size_t i = 0; i < last; ++i) {
        const Modulus& q = ring_->modulus(i);
        const std::uint64_t offset = q.value - half % q.value;
        const ShoupFactor& inverse = ring_->inverse(last, i);
        for (std::size_t j = 0; j < n; ++j) shifted[j] = remainder[j] + offset;
        if (values) {
            for (std::size_t j = 0; j < n; ++j) shifted[j] = reduce_word(shifted[j], q);
            kernel.forward_ntt(shifted.data(), ring_->table(i));
        }
        kernel.subtract_reduced_scale(limb(i), limb(i), shifted.data(), n, inverse.value,
                                      inverse.shoup, q);
    }
    truncate(last);
}

Polynomial lift(const RingPointer& ring, std::size_t limbs, std::span<const std::int32_t> small) {
    Polynomial result(ring, limbs, Form::kCoefficients);
    result.add_small(small);
    return result;
}

}  // namespace strongroom::ring
