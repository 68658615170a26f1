// Z[X]/(X^N + 1) modulo a chain of primes, and polynomials over a prefix of that chain.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "ring/base_conversion.hpp"
#include "ring/kernel.hpp"
#include "ring/memory.hpp"
#include "ring/ntt_table.hpp"
#include "ring/shoup_factor.hpp"

namespace strongroom::ring {

// Immutable; shared by every polynomial over it. Its chain is the data primes, then the special
// ones.
class Ring {
  public:
    // kernel: a name from available_kernels(), or empty for the fastest.
    Ring(std::size_t degree, std::span<const std::uint64_t> primes,
         std::span<const std::uint64_t> special_primes, std::string_view kernel);
    ~Ring();
    Ring(const Ring&) = delete;
    Ring& operator=(const Ring&) = delete;

    std::size_t degree() const { return degree_; }
    // Rows of N words lie a little more than N words apart. At exactly N, a power of two, equal
    // places of all rows of all operands would compete for the same few lines of every cache.
    std::size_t row_words() const { return degree_ + 8; }
    std::size_t limbs() const { return limbs_; }
    std::size_t special_limbs() const { return tables_.size() - limbs_; }
    std::size_t primes() const { return tables_.size(); }
    const NttTable& table(std::size_t prime) const { return tables_[prime]; }
    const Modulus& modulus(std::size_t prime) const { return tables_[prime].modulus; }
    const EmbeddingTable& embedding() const { return embedding_; }
    const Kernel& kernel() const { return *kernel_; }
    // The inverse of prime `of` modulo prime `prime`, for `prime` below `of`.
    const ShoupFactor& inverse(std::size_t of, std::size_t prime) const {
        return inverses_[of][prime];
    }
    // From data primes `begin` to `end` and, where `special`, all special primes. Made when first
    // asked for, by any thread.
    const BaseConversion& conversion(std::size_t begin, std::size_t end, bool special) const;
    // Whether there is such a conversion, or these are too many primes at once.
    bool converts(std::size_t begin, std::size_t end, bool special) const;

  private:
    std::size_t degree_, limbs_;
    std::vector<NttTable> tables_;
    EmbeddingTable embedding_;
    std::vector<std::vector<ShoupFactor>> inverses_;
    const Kernel* kernel_;
    // By begin, end and special; null until asked for. Without a lock, which a thread could hold
    // while another one forks.
    mutable std::vector<std::atomic<const BaseConversion*>> conversions_;
};

using RingPointer = std::shared_ptr<const Ring>;

// Whether residues stand for coefficients or for values of the transform.
enum class Form { kCoefficients, kValues };

// Whether a polynomial is known modulo data primes only, or modulo all special primes too.
enum class Extent { kData, kWithSpecial };

// A polynomial modulo the first `limbs` data primes of its ring and, where extended, its special
// primes; a row of N words for each.
class Polynomial {
  public:
    Polynomial() = default;
    // All zero.
    Polynomial(RingPointer ring, std::size_t limbs, Form form, Extent extent = Extent::kData);
    // Of unspecified words, for whoever sets them all.
    static Polynomial unset(RingPointer ring, std::size_t limbs, Form form,
                            Extent extent = Extent::kData);

    const Ring& ring() const { return *ring_; }
    const RingPointer& ring_pointer() const { return ring_; }
    std::size_t degree() const { return ring_->degree(); }
    std::size_t limbs() const { return limbs_; }
    Extent extent() const { return extent_; }
    Form form() const { return form_; }
    std::size_t rows() const {
        return limbs_ + (extent_ == Extent::kData ? 0 : ring_->special_limbs());
    }
    // Which prime of the chain a row belongs to.
    std::size_t prime(std::size_t row) const {
        return row < limbs_ ? row : row - limbs_ + ring_->limbs();
    }
    const Modulus& modulus(std::size_t row) const { return ring_->modulus(prime(row)); }
    std::uint64_t* row(std::size_t i) { return words_.data() + i * ring_->row_words(); }
    const std::uint64_t* row(std::size_t i) const { return words_.data() + i * ring_->row_words(); }

    void to_values();
    void to_coefficients();
    // A polynomial that somebody else may be reading is copied first.
    Polynomial in_values() const;

    // Throws std::invalid_argument for another ring, form, level or extent.
    void require_like(const Polynomial& other) const;

    // The three below need the same ring, form and rows, or throw std::invalid_argument.
    void add(const Polynomial& other);
    void subtract(const Polynomial& other);
    void negate();
    // this *= other; both in values form. `other` may have more data primes.
    void multiply(const Polynomial& other);
    // this += a b; all in values form, `a` of the same rows, `b` of no fewer data primes.
    void multiply_add(const Polynomial& a, const Polynomial& b);

    // Add small signed numbers to the first coefficients, in constant time; in coefficient form.
    void add_small(std::span<const std::int32_t> small);

    // Keep the first `limbs` residues: the same small polynomial, modulo a smaller product.
    void truncate(std::size_t limbs);

    // Overwrite everything, so that nothing of a secret is left behind.
    void wipe_all() { wipe(words_.data(), words_.size() * sizeof(std::uint64_t)); }

  private:
    struct Unset {};
    Polynomial(Unset, RingPointer ring, std::size_t limbs, Form form, Extent extent);
    // The row of `other` modulo the same prime as row i of this.
    const std::uint64_t* row_of(const Polynomial& other, std::size_t i) const {
        return other.row(i < limbs_ ? i : i - limbs_ + other.limbs_);
    }
    void require_factor(const Polynomial& other) const;

    RingPointer ring_;
    std::size_t limbs_ = 0;
    Form form_ = Form::kCoefficients;
    Extent extent_ = Extent::kData;
    Words words_;
};

// Each polynomial divided by the product of all its primes but the first `limbs`, rounded to the
// nearest integer: `limbs` data primes and no special ones are left. (In several steps, each of
// which rounds, if there are more primes than a BaseConversion takes: the special primes first.)
// Then, if there is one, the automorphism is applied. All have the same ring, form and rows, and
// values form for an automorphism; std::invalid_argument if not, or if nothing would be left or
// nothing goes.
std::vector<Polynomial> divide_and_round(std::span<const Polynomial* const> polynomials,
                                         std::size_t limbs,
                                         const Automorphism* automorphism = nullptr);

// N small signed coefficients as residues, in constant time.
Polynomial lift(const RingPointer& ring, std::size_t limbs, std::span<const std::int32_t> small,
                Extent extent = Extent::kData);

}  // namespace strongroom::ring
