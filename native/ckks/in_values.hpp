// Ciphertexts in values form, without copying those that are.
#pragma once

#include <list>
#include <span>
#include <vector>

#include "ckks/encryption.hpp"

namespace strongroom::ckks {

class InValues {
  public:
    // The ciphertexts must outlive this.
    explicit InValues(std::span<const Ciphertext* const> ciphertexts) {
        for (const Ciphertext* ciphertext : ciphertexts) {
            if (ciphertext->c0.form() == ring::Form::kValues &&
                ciphertext->c1.form() == ring::Form::kValues) {
                pointers_.push_back(ciphertext);
            } else {
                copies_.push_back({ciphertext->c0.in_values(), ciphertext->c1.in_values()});
                pointers_.push_back(&copies_.back());
            }
        }
    }
    explicit InValues(const Ciphertext& ciphertext) : InValues(std::vector{&ciphertext}) {}

    const Ciphertext& operator[](std::size_t i) const { return *pointers_[i]; }

  private:
    std::list<Ciphertext> copies_;
    std::vector<const Ciphertext*> pointers_;
};

}  // namespace strongroom::ckks
