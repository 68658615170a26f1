#include "ckks/parameters.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <stdexcept>

namespace strongroom::ckks {

namespace {

struct Row {
    std::size_t ring_degree;
    unsigned classical, quantum;
};

constexpr std::array<Row, 8> kTable = {{{1u << 10, 26, 20},
                                        {1u << 11, 53, 40},
                                        {1u << 12, 106, 80},
                                        {1u << 13, 214, 161},
                                        {1u << 14, 430, 322},
                                        {1u << 15, 868, 644},
                                        {1u << 16, 1747, 1289},
                                        {1u << 17, 3523, 2578}}};

std::vector<std::uint64_t> chain(const ParametersLiteral& literal) {
    std::vector<std::uint64_t> primes = literal.primes;
    primes.insert(primes.end(), literal.special_primes.begin(), literal.special_primes.end());
    return primes;
}

double log2_product(const std::vector<std::uint64_t>& primes) {
    double sum = 0;
    for (const std::uint64_t q : primes) sum += std::log2(static_cast<double>(q));
    return sum;
}

// A product of words, lowest word first.
using Product = std::vector<std::uint64_t>;

void multiply_by(Product& product, std::uint64_t factor) {
    std::uint64_t carry = 0;
    for (std::uint64_t& word : product) {
        const ring::uint128 sum = static_cast<ring::uint128>(word) * factor + carry;
        word = static_cast<std::uint64_t>(sum);
        carry = static_cast<std::uint64_t>(sum >> 64);
    }
    if (carry != 0) product.push_back(carry);
}

bool greater(const Product& a, const Product& b) {
    if (a.size() != b.size()) return a.size() > b.size();
    return std::lexicographical_compare(b.rbegin(), b.rend(), a.rbegin(), a.rend());
}

// As many primes a digit as their product and a BaseConversion allow, from the first prime on.
std::vector<std::size_t> split_into_digits(const ParametersLiteral& literal) {
    std::vector<std::size_t> ends;
    if (literal.special_primes.empty()) return ends;
    Product special = {1};
    for (const std::uint64_t prime : literal.special_primes) multiply_by(special, prime);
    Product digit = {1};
    std::uint64_t sum = 0;
    std::size_t begin = 0;
    for (std::size_t i = 0; i < literal.primes.size(); ++i) {
        const std::uint64_t prime = literal.primes[i];
        Product longer = digit;
        multiply_by(longer, prime);
        if (i != begin && (greater(longer, special) || i - begin == ring::kMostCombined ||
                           sum + prime > ring::kLargestCombined)) {
            ends.push_back(i);
            begin = i;
            longer = {prime};
            sum = 0;
        }
        if (greater(longer, special)) {
            throw std::invalid_argument("the special primes are smaller than a data prime");
        }
        digit = longer;
        sum += prime;
    }
    ends.push_back(literal.primes.size());
    return ends;
}

}  // namespace

unsigned largest_log_modulus(std::string_view security, std::size_t ring_degree) {
    const bool quantum = security == "quantum-128";
    if (!quantum && security != "classical-128") {
        throw std::invalid_argument("the security table has no column " + std::string(security));
    }
    for (const Row& row : kTable) {
        if (row.ring_degree == ring_degree) return quantum ? row.quantum : row.classical;
    }
    return 0;
}

Parameters::Parameters(const ParametersLiteral& literal, std::string_view kernel, bool checked)
    : log_modulus_(log2_product(chain(literal))) {
    if (literal.primes.empty()) throw std::invalid_argument("the chain has no data primes");
    if (checked) {
        const unsigned largest = largest_log_modulus(literal.security, literal.ring_degree);
        if (!(log_modulus_ <= largest)) {
            throw InsecureParameters("log2 of the modulus is " + std::to_string(log_modulus_) +
                                     " at ring degree " + std::to_string(literal.ring_degree) +
                                     "; the table allows " + std::to_string(largest) + " for " +
                                     literal.security);
        }
    }
    digit_ends_ = split_into_digits(literal);
    ring_ = std::make_shared<const ring::Ring>(literal.ring_degree, literal.primes,
                                               literal.special_primes, kernel);
    // Made now, so that parameters which cannot switch keys are refused now.
    if (!literal.special_primes.empty()) ring_->conversion(0, 0, true);
}

Parameters::Parameters(const ParametersLiteral& literal, std::string_view kernel)
    : Parameters(literal, kernel, true) {}

}  // namespace strongroom::ckks
