// Z[X]/(X^N + 1) modulo a chain of primes, and polynomials over a prefix of that chain.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "ring/kernel.hpp"
#include "ring/memory.hpp"
#include "ring/ntt_table.hpp"

namespace strongroom::ring {

// A factor with its Shoup constant.
struct ShoupFactor {
    std::uint64_t value = 0, shoup = 0;
};

// Immutable; shared by every polynomial over it.
class Ring {
  public:
    // kernel: a name from available_kernels(), or empty for the fastest.
    Ring(std::size_t degree, std::span<const std::uint64_t> primes, std::string_view kernel);

    std::size_t degree() const { return degree_; }
    std::size_t limbs() const { return tables_.size(); }
    const NttTable& table(std::size_t limb) const { return tables_[limb]; }
    const Modulus& modulus(std::size_t limb) const { return tables_[limb].modulus; }
    const Kernel& kernel() const { return *kernel_; }
    // The inverse of prime `of` modulo prime `limb`, for `limb` below `of`.
    const ShoupFactor& inverse(std::size_t of, std::size_t limb) const {
        return inverses_[of][limb];
    }

  private:
    std::size_t degree_;
    std::vector<NttTable> tables_;
    std::vector<std::vector<ShoupFactor>> inverses_;
    const Kernel* kernel_;
};

using RingPointer = std::shared_ptr<const Ring>;

// Whether residues stand for coefficients or for values of the transform.
enum class Form { kCoefficients, kValues };

// A polynomial modulo the first `limbs` primes of its ring; limb after limb, N words each.
class Polynomial {
  public:
    Polynomial() = default;
    // All zero.
    Polynomial(RingPointer ring, std::size_t limbs, Form form);

    const Ring& ring() const { return *ring_; }
    const RingPointer& ring_pointer() const { return ring_; }
    std::size_t degree() const { return ring_->degree(); }
    std::size_t limbs() const { return limbs_; }
    Form form() const { return form_; }
    std::uint64_t* limb(std::size_t i) { return words_.data() + i * degree(); }
    const std::uint64_t* limb(std::size_t i) const { return words_.data() + i * degree(); }

    void to_values();
    void to_coefficients();

    // The three below need the same ring, form and number of limbs, or throw std::invalid_argument.
    void add(const Polynomial& other);
    void subtract(const Polynomial& other);
    // this *= other; both in values form. `other` may have more limbs.
    void multiply(const Polynomial& other);
    // this += a b; all in values form, `a` of the same number of limbs, `b` of no fewer.
    void multiply_add(const Polynomial& a, const Polynomial& b);

    // Add small signed numbers to the first coefficients, in constant time; in coefficient form.
    void add_small(std::span<const std::int32_t> small);

    // Keep the first `limbs` residues: the same small polynomial, modulo a smaller product.
    void truncate(std::size_t limbs);
    // Divide by the last prime and round; one limb less. Rounding is to the nearest integer.
    void divide_by_last();

    // Overwrite everything, so that nothing of a secret is left behind.
    void wipe_all() { wipe(words_.data(), words_.size() * sizeof(std::uint64_t)); }

  private:
    void require_like(const Polynomial& other) const;

    RingPointer ring_;
    std::size_t limbs_ = 0;
    Form form_ = Form::kCoefficients;
    Words words_;
};

// Small signed coefficients, at most N of them (the rest are zero), as residues; in constant time.
Polynomial lift(const RingPointer& ring, std::size_t limbs, std::span<const std::int32_t> small);

}  // namespace strongroom::ring
