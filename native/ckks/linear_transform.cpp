#include "ckks/linear_transform.hpp"

#include <algorithm>
#include <array>
#include <stdexcept>

#include "ckks/in_values.hpp"
#include "ring/parallel.hpp"

namespace strongroom::ckks {

using ring::Extent;
using ring::Form;
using ring::Polynomial;

namespace {

template <class Diagonal>
void require_shape(const LinearTransform<Diagonal>& plan, const ring::RingPointer& ring,
                   std::size_t limbs) {
    if (plan.babies.empty() || plan.giants.empty() ||
        plan.diagonals.size() != plan.babies.size() * plan.giants.size()) {
        throw std::invalid_argument("a transform has diagonals for all its steps");
    }
    if (plan.chained) {
        const SwitchingKey* const first = plan.giants.size() > 1 ? plan.giants[1] : nullptr;
        if (plan.giants[0] != nullptr || (plan.giants.size() > 1 && first == nullptr) ||
            !std::all_of(plan.giants.begin() + 1, plan.giants.end(),
                         [&](const SwitchingKey* key) { return key == first; })) {
            throw std::invalid_argument("chained giant steps have one key");
        }
    }
    for (const auto& steps : {plan.babies, plan.giants}) {
        for (const SwitchingKey* key : steps) {
            if (key == nullptr) continue;
            require_key(*key, ring, limbs);
            if (key->automorphism() == nullptr) {
                throw std::invalid_argument("a relinearisation key has no automorphism");
            }
        }
    }
}

void require_diagonal(const Polynomial& part, const ring::RingPointer& ring, std::size_t limbs,
                      Extent extent) {
    if (part.ring_pointer() != ring || part.form() != Form::kValues || part.limbs() < limbs ||
        part.extent() != extent) {
        throw std::invalid_argument("a diagonal of another ring, form or level");
    }
}

// The sum of giant steps, times P. Each step's ciphertext comes times P; those that rotate are
// switched from there.
class GiantSteps {
  public:
    GiantSteps(const Parameters& parameters, std::size_t limbs)
        : parameters_(parameters),
          ring_(*parameters.ring()),
          sum_{Polynomial(parameters.ring(), limbs, Form::kValues, Extent::kWithSpecial),
               Polynomial(parameters.ring(), limbs, Form::kValues, Extent::kWithSpecial)} {}

    void add(const ExtendedCiphertext& step, const SwitchingKey* key) {
        if (key == nullptr) {
            sum_.c0.add(step.c0);
            sum_.c1.add(step.c1);
            return;
        }
        const std::array<const Polynomial*, 1> part = {&step.c1};
        const Polynomial c1 = std::move(ring::divide_and_round(part, step.c0.limbs())[0]);
        Decomposition decomposition(parameters_, c1);
        const std::size_t n = ring_.degree();
        const ring::Kernel& kernel = ring_.kernel();
        ring::parallel_for(decomposition.rows(), [&](std::size_t row) {
            const ring::Modulus& m = sum_.c0.modulus(row);
            ring::Words b(n), a(n), rotated(n);
            decomposition.transform_row(row);
            decomposition.multiply_row(*key, row, b.data(), a.data());
            kernel.add(b.data(), b.data(), step.c0.row(row), n, m);
            kernel.permute(rotated.data(), b.data(), *key->automorphism());
            kernel.add(sum_.c0.row(row), sum_.c0.row(row), rotated.data(), n, m);
            kernel.permute(rotated.data(), a.data(), *key->automorphism());
            kernel.add(sum_.c1.row(row), sum_.c1.row(row), rotated.data(), n, m);
        });
    }

    // The whole sum rotated, in place.
    void turn(const SwitchingKey& key) {
        const std::array<const Polynomial*, 1> part = {&sum_.c1};
        const Polynomial c1 = std::move(ring::divide_and_round(part, sum_.c0.limbs())[0]);
        Decomposition decomposition(parameters_, c1);
        const std::size_t n = ring_.degree();
        const ring::Kernel& kernel = ring_.kernel();
        ring::parallel_for(decomposition.rows(), [&](std::size_t row) {
            ring::Words b(n), a(n);
            decomposition.transform_row(row);
            decomposition.multiply_row(key, row, b.data(), a.data());
            kernel.add(b.data(), b.data(), sum_.c0.row(row), n, sum_.c0.modulus(row));
            kernel.permute(sum_.c0.row(row), b.data(), *key.automorphism());
            kernel.permute(sum_.c1.row(row), a.data(), *key.automorphism());
        });
    }

    Ciphertext finished(std::size_t drop) const { return finish(sum_, drop); }

  private:
    const Parameters& parameters_;
    const ring::Ring& ring_;
    ExtendedCiphertext sum_;
};

// Adds all giant steps, each with its key; chained ones from the last, unturned, with the sum
// turned in between.
template <class Diagonal, class Add>
void for_each_giant(const LinearTransform<Diagonal>& plan, GiantSteps& giants, const Add& add) {
    if (!plan.chained) {
        for (std::size_t i = 0; i < plan.giants.size(); ++i) add(i, plan.giants[i]);
        return;
    }
    for (std::size_t i = plan.giants.size(); i-- > 0;) {
        add(i, nullptr);
        if (i > 0) giants.turn(*plan.giants[i]);
    }
}

// P x in one row of a data prime.
void times_special(const ring::Ring& ring, std::uint64_t* out, const std::uint64_t* x,
                   std::size_t row) {
    const std::uint64_t factor = ring.conversion(0, 0, true).product_times_two_52(row);
    ring.kernel().combine(out, &x, &factor, 1, 0, ring.degree(), ring.modulus(row));
}

// The baby steps of one giant step that have a diagonal.
template <class Diagonal>
std::vector<std::size_t> used_babies(const LinearTransform<Diagonal>& plan, std::size_t giant) {
    std::vector<std::size_t> used;
    for (std::size_t j = 0; j < plan.babies.size(); ++j) {
        if (plan.diagonal(giant, j) != nullptr) used.push_back(j);
    }
    return used;
}

}  // namespace

Ciphertext transform(const Parameters& parameters, const Ciphertext& x,
                     const LinearTransform<Plaintext>& plan, std::size_t drop) {
    const ring::RingPointer& ring = parameters.ring();
    const ring::Kernel& kernel = ring->kernel();
    const std::size_t n = ring->degree();
    const std::size_t limbs = x.c0.limbs();
    require_shape(plan, ring, limbs);
    for (const Plaintext* diagonal : plan.diagonals) {
        if (diagonal == nullptr) continue;
        require_diagonal(diagonal->polynomial, ring, limbs, Extent::kWithSpecial);
    }
    const InValues values(x);
    const Ciphertext& input = values[0];
    Decomposition decomposition(parameters, input.c1);
    std::vector<ExtendedCiphertext> steps;
    std::vector<std::vector<std::size_t>> used;
    for (std::size_t i = 0; i < plan.giants.size(); ++i) {
        used.push_back(used_babies(plan, i));
        if (!used.back().empty()) {
            steps.push_back(ExtendedCiphertext::unset(parameters, limbs));
        } else {
            steps.emplace_back();
        }
    }
    // Row by row: the rotated inputs of one row serve all giant steps while they are in the cache.
    ring::parallel_for(decomposition.rows(), [&](std::size_t row) {
        decomposition.transform_row(row);
        const bool data = row < limbs;
        const std::size_t prime = data ? row : row - limbs + ring->limbs();
        const ring::Modulus& m = ring->modulus(prime);
        const std::size_t babies = plan.babies.size();
        const std::size_t stride = ring->row_words();
        ring::Words rotated(2 * babies * stride), b(n), a(n);
        for (std::size_t j = 0; j < babies; ++j) {
            const SwitchingKey* key = plan.babies[j];
            std::uint64_t* u0 = rotated.data() + 2 * j * stride;
            std::uint64_t* u1 = u0 + stride;
            if (key == nullptr && data) {
                times_special(*ring, u0, input.c0.row(row), row);
                times_special(*ring, u1, input.c1.row(row), row);
                continue;
            }
            if (key == nullptr) {
                std::fill(u0, u0 + 2 * stride, 0);
                continue;
            }
            decomposition.multiply_row(*key, row, b.data(), a.data(),
                                       data ? input.c0.row(row) : nullptr);
            kernel.permute(u0, b.data(), *key->automorphism());
            kernel.permute(u1, a.data(), *key->automorphism());
        }
        for (std::size_t i = 0; i < plan.giants.size(); ++i) {
            if (used[i].empty()) continue;
            std::vector<const std::uint64_t*> factors, u0, u1;
            for (const std::size_t j : used[i]) {
                const Polynomial& diagonal = plan.diagonal(i, j)->polynomial;
                factors.push_back(diagonal.row(data ? row : row - limbs + diagonal.limbs()));
                u0.push_back(rotated.data() + 2 * j * stride);
                u1.push_back(rotated.data() + (2 * j + 1) * stride);
            }
            kernel.sum_products(steps[i].c0.row(row), factors.data(), u0.data(), u0.size(), n, m);
            kernel.sum_products(steps[i].c1.row(row), factors.data(), u1.data(), u1.size(), n, m);
        }
    });
    GiantSteps giants(parameters, limbs);
    for_each_giant(plan, giants, [&](std::size_t i, const SwitchingKey* key) {
        if (!used[i].empty()) giants.add(steps[i], key);
    });
    return giants.finished(drop);
}

Ciphertext transform(const Parameters& parameters, const Ciphertext& x,
                     const LinearTransform<Ciphertext>& plan, const SwitchingKey& relinearisation,
                     std::size_t drop) {
    const ring::RingPointer& ring = parameters.ring();
    const ring::Kernel& kernel = ring->kernel();
    const std::size_t n = ring->degree();
    const std::size_t limbs = x.c0.limbs();
    require_shape(plan, ring, limbs);
    require_key(relinearisation, ring, limbs);
    if (relinearisation.element() != kRelinearisation) {
        throw std::invalid_argument("not a relinearisation key");
    }
    for (const Ciphertext* diagonal : plan.diagonals) {
        if (diagonal == nullptr) continue;
        require_diagonal(diagonal->c0, ring, limbs, Extent::kData);
        require_diagonal(diagonal->c1, ring, limbs, Extent::kData);
    }
    std::vector<const SwitchingKey*> keys;
    for (const SwitchingKey* key : plan.babies) {
        if (key != nullptr) keys.push_back(key);
    }
    const InValues values(x);
    const Ciphertext& input = values[0];
    const std::vector<Ciphertext> turned = apply_automorphisms(parameters, input, keys);
    std::vector<const Ciphertext*> rotated;
    for (std::size_t j = 0, next = 0; j < plan.babies.size(); ++j) {
        rotated.push_back(plan.babies[j] == nullptr ? &input : &turned[next++]);
    }
    // The three components of every giant step, row by row.
    struct Step {
        Polynomial d0, d1, d2;
    };
    std::vector<Step> steps(plan.giants.size());
    std::vector<std::vector<std::size_t>> used;
    for (std::size_t i = 0; i < plan.giants.size(); ++i) {
        used.push_back(used_babies(plan, i));
        if (used.back().empty()) continue;
        for (Polynomial* d : {&steps[i].d0, &steps[i].d1, &steps[i].d2}) {
            *d = Polynomial::unset(ring, limbs, Form::kValues);
        }
    }
    ring::parallel_for(limbs, [&](std::size_t row) {
        const ring::Modulus& m = ring->modulus(row);
        for (std::size_t i = 0; i < plan.giants.size(); ++i) {
            if (used[i].empty()) continue;
            // d1 has two products for each of the others' one: e0 u1, then e1 u0.
            std::vector<const std::uint64_t*> e, u;
            const std::size_t count = used[i].size();
            for (const std::size_t j : used[i]) {
                e.push_back(plan.diagonal(i, j)->c0.row(row));
                u.push_back(rotated[j]->c1.row(row));
            }
            for (const std::size_t j : used[i]) {
                e.push_back(plan.diagonal(i, j)->c1.row(row));
                u.push_back(rotated[j]->c0.row(row));
            }
            kernel.sum_products(steps[i].d1.row(row), e.data(), u.data(), 2 * count, n, m);
            kernel.sum_products(steps[i].d0.row(row), e.data(), u.data() + count, count, n, m);
            kernel.sum_products(steps[i].d2.row(row), e.data() + count, u.data(), count, n, m);
        }
    });
    GiantSteps giants(parameters, limbs);
    for_each_giant(plan, giants, [&](std::size_t i, const SwitchingKey* key) {
        if (used[i].empty()) return;
        const Step step = std::move(steps[i]);
        Decomposition decomposition(parameters, step.d2);
        ExtendedCiphertext result = ExtendedCiphertext::unset(parameters, limbs);
        ring::parallel_for(decomposition.rows(), [&](std::size_t row) {
            decomposition.transform_row(row);
            const bool data = row < limbs;
            decomposition.multiply_row(relinearisation, row, result.c0.row(row), result.c1.row(row),
                                       data ? step.d0.row(row) : nullptr,
                                       data ? step.d1.row(row) : nullptr);
        });
        giants.add(result, key);
    });
    return giants.finished(drop);
}

}  // namespace strongroom::ckks
