// strongroom._native: the core for Python. Only the files of this folder know Python; the typed
// classes that people read are in src/strongroom/engine/.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/complex.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>

#include <cstring>

#include "ckks/evaluation.hpp"
#include "ckks/inner_products.hpp"
#include "python/arrays.hpp"
#include "python/modules.hpp"
#include "python/packing.hpp"

namespace nb = nanobind;
using namespace nb::literals;
using namespace strongroom;

namespace {

using Unlocked = nb::call_guard<nb::gil_scoped_release>;

std::size_t packed_polynomial_bytes(const ckks::Parameters& parameters, std::size_t limbs,
                                    std::size_t count, ring::Extent extent = ring::Extent::kData) {
    const ring::Ring& ring = *parameters.ring();
    const std::size_t special = extent == ring::Extent::kData ? 0 : ring.special_limbs();
    std::size_t total = 0;
    for (std::size_t i = 0; i < limbs + special; ++i) {
        const std::size_t prime = i < limbs ? i : i - limbs + ring.limbs();
        total += ring::packed_bytes(count, ring.modulus(prime).bits);
    }
    return total;
}

// Limb after limb, each bit-packed at its prime's length and padded to a byte: all coefficients,
// or those at the given positions.
std::vector<std::uint8_t> pack_polynomial(const ckks::Parameters& parameters,
                                          const ring::Polynomial& polynomial,
                                          std::optional<std::span<const std::uint32_t>> positions) {
    if (polynomial.ring_pointer() != parameters.ring()) {
        throw std::invalid_argument("a polynomial of other parameters");
    }
    const std::size_t n = parameters.ring_degree();
    const std::size_t count = positions ? positions->size() : n;
    std::vector<std::uint8_t> out(
        packed_polynomial_bytes(parameters, polynomial.limbs(), count, polynomial.extent()));
    std::size_t at = 0;
    std::vector<std::uint64_t> chosen(positions ? count : 0);
    for (std::size_t i = 0; i < polynomial.rows(); ++i) {
        const unsigned bits = polynomial.modulus(i).bits;
        const std::uint64_t* words = polynomial.row(i);
        if (positions) {
            for (std::size_t k = 0; k < count; ++k) {
                if ((*positions)[k] >= n) throw std::invalid_argument("no such coefficient");
                chosen[k] = words[(*positions)[k]];
            }
            words = chosen.data();
        }
        const std::size_t size = ring::packed_bytes(count, bits);
        ring::pack({out.data() + at, size}, {words, count}, bits);
        at += size;
    }
    return out;
}

// The same of a polynomial's coefficients, whatever form it is in. Objects that Python holds are
// never transformed in place: another thread may be reading them.
std::vector<std::uint8_t> pack_coefficients(
    const ckks::Parameters& parameters, const ring::Polynomial& polynomial,
    std::optional<std::span<const std::uint32_t>> positions) {
    if (polynomial.form() == ring::Form::kCoefficients) {
        return pack_polynomial(parameters, polynomial, positions);
    }
    ring::Polynomial coefficients = polynomial;
    coefficients.to_coefficients();
    return pack_polynomial(parameters, coefficients, positions);
}

ring::Polynomial unpack_polynomial(const ckks::Parameters& parameters, std::size_t limbs,
                                   ring::Form form, std::span<const std::uint8_t> bytes,
                                   std::optional<std::span<const std::uint32_t>> positions,
                                   ring::Extent extent = ring::Extent::kData) {
    if (limbs == 0 || limbs > parameters.ring()->limbs()) throw UnpackError("length");
    const std::size_t n = parameters.ring_degree();
    const std::size_t count = positions ? positions->size() : n;
    if (count > n || bytes.size() != packed_polynomial_bytes(parameters, limbs, count, extent)) {
        throw UnpackError("length");
    }
    ring::Polynomial result(parameters.ring(), limbs, form, extent);
    std::vector<std::uint64_t> chosen(positions ? count : 0);
    std::size_t at = 0;
    for (std::size_t i = 0; i < result.rows(); ++i) {
        const ring::Modulus& modulus = result.modulus(i);
        const std::size_t size = ring::packed_bytes(count, modulus.bits);
        std::uint64_t* words = positions ? chosen.data() : result.row(i);
        const auto fault = ring::unpack({words, count}, bytes.subspan(at, size), modulus.value);
        if (fault) throw UnpackError(describe(*fault));
        at += size;
        for (std::size_t k = 0; positions && k < count; ++k) {
            if ((*positions)[k] >= n) throw std::invalid_argument("no such coefficient");
            result.row(i)[(*positions)[k]] = chosen[k];
        }
    }
    return result;
}

void bind_parameters(nb::module_& m) {
    m.def("available_kernels", [] {
        std::vector<std::string> names;
        for (const auto name : ring::available_kernels()) names.emplace_back(name);
        return names;
    });
    m.attr("LARGEST_LOG_FLOOD") = ring::kMaxLogFlood;
    m.def("largest_log_modulus", &ckks::largest_log_modulus, "security"_a, "ring_degree"_a);
    nb::class_<ckks::Parameters>(m, "Parameters")
        .def(
            "__init__",
            [](ckks::Parameters* self, std::size_t ring_degree, std::vector<std::uint64_t> primes,
               std::vector<std::uint64_t> special_primes, const std::string& security,
               const std::string& kernel) {
                new (self) ckks::Parameters(
                    {ring_degree, std::move(primes), std::move(special_primes), security}, kernel);
            },
            "ring_degree"_a, "primes"_a, "special_primes"_a, "security"_a, "kernel"_a = "")
        .def_prop_ro("ring_degree", &ckks::Parameters::ring_degree)
        .def_prop_ro("limbs", &ckks::Parameters::limbs)
        .def_prop_ro("log_modulus", &ckks::Parameters::log_modulus)
        .def_prop_ro("kernel", [](const ckks::Parameters& self) {
            return std::string(self.ring()->kernel().name);
        });
}

void bind_keys(nb::module_& m) {
    nb::class_<ckks::SecretKey>(m, "SecretKey")
        .def_static("generate", &ckks::SecretKey::generate, "parameters"_a, Unlocked())
        .def_static(
            "from_bytes",
            [](const ckks::Parameters& parameters, BytesView bytes) {
                return ckks::SecretKey::from_bytes(parameters, span_of(bytes));
            },
            "parameters"_a, "data"_a)
        .def("to_bytes", [](const ckks::SecretKey& self) {
            std::vector<std::uint8_t> bytes = self.to_bytes();
            const nb::bytes result = to_bytes(bytes);
            ring::wipe(bytes.data(), bytes.size());
            return result;
        });
    nb::class_<ckks::PublicKey>(m, "PublicKey")
        .def_static("generate", &ckks::generate_public_key, "parameters"_a, "secret"_a, "limbs"_a,
                    Unlocked())
        .def_static(
            "unpack",
            [](const ckks::Parameters& parameters, std::size_t limbs, BytesView seed, BytesView b) {
                return unlocked([&] {
                    return ckks::restore_public_key(
                        parameters, to_seed(span_of(seed)),
                        unpack_polynomial(parameters, limbs, ring::Form::kValues, span_of(b), {},
                                          ckks::public_key_extent(parameters)));
                });
            },
            "parameters"_a, "limbs"_a, "seed"_a, "b"_a)
        .def_prop_ro("limbs", [](const ckks::PublicKey& self) { return self.b.limbs(); })
        .def_prop_ro("seed", [](const ckks::PublicKey& self) { return to_bytes(self.seed); })
        .def("pack_b", [](const ckks::PublicKey& self, const ckks::Parameters& parameters) {
            return to_bytes(unlocked([&] { return pack_polynomial(parameters, self.b, {}); }));
        });
}

ring::Form form_of(bool transformed) {
    return transformed ? ring::Form::kValues : ring::Form::kCoefficients;
}

ring::Extent extent_of(bool extended) {
    return extended ? ring::Extent::kWithSpecial : ring::Extent::kData;
}

// For real values and for complex ones, so that neither is copied.
template <class Values>
void bind_encode_slots(nb::module_& m) {
    m.def(
        "encode_slots",
        [](const ckks::Parameters& parameters, Values values, double scale, std::size_t limbs,
           bool transformed, bool extended) {
            return unlocked([&] {
                return ckks::encode_slots(parameters, span_of(values), scale, limbs,
                                          form_of(transformed), extent_of(extended));
            });
        },
        "parameters"_a, "values"_a, "scale"_a, "limbs"_a, "transformed"_a = false,
        "extended"_a = false);
}

void bind_encoding(nb::module_& m) {
    nb::class_<ckks::Plaintext>(m, "Plaintext")
        .def_prop_ro("limbs", [](const ckks::Plaintext& self) { return self.polynomial.limbs(); })
        .def(
            "prepared",
            [](const ckks::Plaintext& self) {
                ckks::Plaintext values = self;
                values.polynomial.to_values();
                return values;
            },
            Unlocked())
        .def("residues", [](const ckks::Plaintext& self) { return residues_of(self.polynomial); });
    m.def(
        "encode_coefficients",
        [](const ckks::Parameters& parameters, DoublesView values, double scale, std::size_t limbs,
           bool transformed, bool extended) {
            return unlocked([&] {
                return ckks::encode_coefficients(parameters, span_of(values), scale, limbs,
                                                 form_of(transformed), extent_of(extended));
            });
        },
        "parameters"_a, "values"_a, "scale"_a, "limbs"_a, "transformed"_a = false,
        "extended"_a = false);
    bind_encode_slots<DoublesView>(m);
    bind_encode_slots<ComplexView>(m);
    m.def(
        "decode_coefficients",
        [](const ckks::Parameters& parameters, const ckks::Plaintext& plaintext, double scale) {
            return to_array(
                unlocked([&] { return ckks::decode_coefficients(parameters, plaintext, scale); }));
        },
        "parameters"_a, "plaintext"_a, "scale"_a);
    m.def(
        "decode_slots",
        [](const ckks::Parameters& parameters, const ckks::Plaintext& plaintext, double scale) {
            return to_array(
                unlocked([&] { return ckks::decode_slots(parameters, plaintext, scale); }));
        },
        "parameters"_a, "plaintext"_a, "scale"_a);
}

void bind_ciphertexts(nb::module_& m) {
    nb::class_<ckks::Ciphertext>(m, "Ciphertext")
        .def_prop_ro("limbs", [](const ckks::Ciphertext& self) { return self.c0.limbs(); })
        .def("copy", [](const ckks::Ciphertext& self) { return ckks::Ciphertext(self); })
        .def("residues",
             [](const ckks::Ciphertext& self) {
                 return nb::make_tuple(residues_of(self.c0), residues_of(self.c1));
             })
        .def("add", &ckks::add, "other"_a, Unlocked())
        .def("add_plain", &ckks::add_plain, "plaintext"_a, Unlocked())
        .def(
            "add_at",
            [](ckks::Ciphertext& self, PositionsView positions, DoublesView values, double scale) {
                ckks::add_at(self, copied(positions), span_of(values), scale);
            },
            "positions"_a, "values"_a, "scale"_a, Unlocked())
        .def("truncate", &ckks::truncate, "limbs"_a, Unlocked())
        .def(
            "pack_c0",
            [](const ckks::Ciphertext& self, const ckks::Parameters& parameters,
               std::optional<PositionsView> positions) {
                return to_bytes(unlocked(
                    [&] { return pack_coefficients(parameters, self.c0, copied(positions)); }));
            },
            "parameters"_a, "positions"_a.none() = nb::none())
        .def(
            "pack_c1",
            [](const ckks::Ciphertext& self, const ckks::Parameters& parameters) {
                return to_bytes(
                    unlocked([&] { return pack_coefficients(parameters, self.c1, {}); }));
            },
            "parameters"_a)
        .def_static(
            "unpack",
            [](const ckks::Parameters& parameters, std::size_t limbs, BytesView c0, BytesView c1,
               std::optional<PositionsView> positions) {
                return unlocked([&] {
                    return ckks::Ciphertext{
                        unpack_polynomial(parameters, limbs, ring::Form::kCoefficients, span_of(c0),
                                          copied(positions)),
                        unpack_polynomial(parameters, limbs, ring::Form::kCoefficients, span_of(c1),
                                          {})};
                });
            },
            "parameters"_a, "limbs"_a, "c0"_a, "c1"_a, "positions"_a.none() = nb::none())
        .def_static(
            "unpack_seeded",
            [](const ckks::Parameters& parameters, std::size_t limbs, BytesView seed, BytesView c0,
               std::optional<PositionsView> positions) {
                return unlocked([&] {
                    return ckks::restore_seeded(
                        parameters, to_seed(span_of(seed)),
                        unpack_polynomial(parameters, limbs, ring::Form::kCoefficients, span_of(c0),
                                          copied(positions)));
                });
            },
            "parameters"_a, "limbs"_a, "seed"_a, "c0"_a, "positions"_a.none() = nb::none());
    nb::class_<ckks::InnerProductWeights>(m, "InnerProductWeights")
        .def(nb::init<ckks::Plaintext, std::size_t>(), "plaintext"_a, "length"_a, Unlocked());
    m.def(
        "inner_products",
        [](const std::vector<const ckks::Ciphertext*>& inputs,
           const std::vector<const ckks::InnerProductWeights*>& weights, PositionsView positions) {
            return unlocked([&] {
                return ckks::inner_products(all_of(inputs), all_of(weights), copied(positions));
            });
        },
        "inputs"_a, "weights"_a, "positions"_a);
    m.def(
        "sanitised_inner_products",
        [](const ckks::Parameters& parameters, const std::vector<const ckks::Ciphertext*>& inputs,
           const std::vector<const ckks::InnerProductWeights*>& weights, PositionsView positions,
           DoublesView constants, double scale, const ckks::PublicKey& key,
           std::size_t sanitise_limbs, std::size_t response_limbs, double log_sigma) {
            return unlocked([&] {
                return ckks::sanitised_inner_products(
                    parameters, all_of(inputs), all_of(weights), copied(positions),
                    span_of(constants), scale, key, {sanitise_limbs, response_limbs, log_sigma});
            });
        },
        "parameters"_a, "inputs"_a, "weights"_a, "positions"_a, "constants"_a, "scale"_a, "key"_a,
        "sanitise_limbs"_a, "response_limbs"_a, "log_sigma"_a);
    m.def(
        "packed_bytes",
        [](const ckks::Parameters& parameters, std::size_t limbs, std::size_t count) {
            if (limbs > parameters.ring()->limbs()) throw std::invalid_argument("too many limbs");
            return packed_polynomial_bytes(parameters, limbs, count);
        },
        "parameters"_a, "limbs"_a, "count"_a);
    m.def(
        "public_key_packed_bytes",
        [](const ckks::Parameters& parameters, std::size_t limbs) {
            if (limbs > parameters.ring()->limbs()) throw std::invalid_argument("too many limbs");
            return packed_polynomial_bytes(parameters, limbs, parameters.ring_degree(),
                                           ckks::public_key_extent(parameters));
        },
        "parameters"_a, "limbs"_a);
}

void bind_encryption(nb::module_& m) {
    m.def(
        "encrypt_symmetric",
        [](const ckks::Parameters& parameters, const ckks::Plaintext& plaintext,
           const ckks::SecretKey& secret) {
            ckks::SeededCiphertext result =
                unlocked([&] { return ckks::encrypt_symmetric(parameters, plaintext, secret); });
            return nb::make_tuple(to_bytes(result.seed), std::move(result.ciphertext));
        },
        "parameters"_a, "plaintext"_a, "secret"_a);
    m.def("encrypt_public", &ckks::encrypt_public, "parameters"_a, "plaintext"_a, "key"_a,
          Unlocked());
    m.def("decrypt_raw", &ckks::decrypt_raw, "ciphertext"_a, "secret"_a, Unlocked());
    m.def(
        "decrypt_flooded",
        [](const ckks::Ciphertext& ciphertext, const ckks::SecretKey& secret,
           PositionsView positions, double scale, double log_sigma) {
            return to_array(unlocked([&] {
                return ckks::decrypt_flooded(ciphertext, secret, copied(positions), scale,
                                             log_sigma);
            }));
        },
        "ciphertext"_a, "secret"_a, "positions"_a, "scale"_a, "log_sigma"_a);
    m.def(
        "sanitise",
        [](const ckks::Parameters& parameters, const ckks::Ciphertext& ciphertext,
           const ckks::PublicKey& key, PositionsView positions, double log_sigma) {
            return unlocked([&] {
                return ckks::sanitise(parameters, ciphertext, key, copied(positions), log_sigma);
            });
        },
        "parameters"_a, "ciphertext"_a, "key"_a, "positions"_a, "log_sigma"_a);
}

}  // namespace

NB_MODULE(_native, m) {
    // Catalogued parameters are cached for the life of the process; at its end that is no leak.
    nb::set_leak_warnings(false);
    m.doc() = "The core of Strongroom. Use strongroom.engine.";
    nb::exception<ckks::InsecureParameters>(m, "InsecureParametersError", PyExc_ValueError);
    nb::exception<UnpackError>(m, "UnpackError", PyExc_ValueError);
    bind_parameters(m);
    bind_keys(m);
    bind_encoding(m);
    bind_ciphertexts(m);
    bind_encryption(m);
    bind_evaluation(m);
    bind_threshold(m);
    bind_share_proofs(m);
}
