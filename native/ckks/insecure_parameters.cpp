// The way around the security table. Compiled into the testing module only.
#include "ckks/parameters.hpp"

namespace strongroom::ckks {

Parameters Parameters::without_security(const ParametersLiteral& literal, std::string_view kernel) {
    return Parameters(literal, kernel, false);
}

}  // namespace strongroom::ckks
