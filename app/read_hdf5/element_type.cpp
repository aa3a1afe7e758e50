// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/read_hdf5/element_type.h"

#include <cstdint>
#include <cstring>

namespace quantloupe::read_hdf5 {
namespace {

/// Where the parts of a float lie, in bits from the least significant one.
struct FloatLayout {
    DType dtype;
    std::size_t bytes, sign, exponent, exponentBits, mantissa, mantissaBits, bias;
};

constexpr FloatLayout kFloats[] = {
    {DType::F16, 2, 15, 10, 5, 0, 10, 15},
    {DType::BF16, 2, 15, 7, 8, 0, 7, 127},
    {DType::F32, 4, 31, 23, 8, 0, 23, 127},
    {DType::F64, 8, 63, 52, 11, 0, 52, 1023},
};

std::optional<DType> floatOf(hid_t type)
{
    std::size_t sign, exponent, exponentBits, mantissa, mantissaBits;
    if (H5Tget_fields(type, &sign, &exponent, &exponentBits, &mantissa, &mantissaBits) < 0
        || H5Tget_norm(type) != H5T_NORM_IMPLIED)
        return std::nullopt;
    for (const auto& layout : kFloats)
        if (H5Tget_size(type) == layout.bytes && sign == layout.sign && exponent == layout.exponent
            && exponentBits == layout.exponentBits && mantissa == layout.mantissa && mantissaBits == layout.mantissaBits
            && H5Tget_ebias(type) == layout.bias)
            return layout.dtype;
    return std::nullopt;
}

std::optional<DType> integerOf(hid_t type)
{
    const auto bytes = H5Tget_size(type);
    const auto sign = H5Tget_sign(type);
    if (H5Tget_precision(type) != 8 * bytes || H5Tget_offset(type) != 0 || (sign != H5T_SGN_NONE && sign != H5T_SGN_2))
        return std::nullopt;
    const bool plus = sign == H5T_SGN_NONE;
    switch (bytes) {
    case 1: return plus ? DType::U8 : DType::I8;
    case 2: return plus ? DType::U16 : DType::I16;
    case 4: return plus ? DType::U32 : DType::I32;
    case 8: return plus ? DType::U64 : DType::I64;
    default: return std::nullopt;
    }
}

/// What NumPy's bool becomes: FALSE = 0 and TRUE = 1 in a byte.
bool isBool(hid_t type)
{
    if (H5Tget_size(type) != 1 || H5Tget_nmembers(type) != 2)
        return false;
    for (const auto& [name, value] : {std::pair {"FALSE", 0}, std::pair {"TRUE", 1}}) {
        std::int8_t stored = -1;
        if (H5Tenum_valueof(type, name, &stored) < 0 || stored != value)
            return false;
    }
    return true;
}

std::optional<DType> enumOf(hid_t type)
{
    if (isBool(type))
        return DType::Bool;
    const hdf5::Type underneath(H5Tget_super(type));
    return underneath && H5Tget_class(underneath.id()) == H5T_INTEGER ? integerOf(underneath.id()) : std::nullopt;
}

}  // namespace

std::optional<ElementType> elementTypeOf(hid_t stored, bool brainFloat)
{
    const auto kind = H5Tget_class(stored);
    const bool number = kind == H5T_INTEGER || kind == H5T_FLOAT;
    ElementType type;
    std::optional<DType> dtype;
    if (brainFloat && H5Tget_size(stored) == 2 && (number || kind == H5T_OPAQUE))
        dtype = DType::BF16;
    else if (kind == H5T_FLOAT)
        dtype = floatOf(stored);
    else if (kind == H5T_INTEGER)
        dtype = integerOf(stored);
    else if (kind == H5T_ENUM)
        dtype = enumOf(stored);
    if (!dtype)
        return std::nullopt;
    type.dtype = *dtype;
    type.bytes = H5Tget_size(stored);
    type.memory = hdf5::Type(H5Tcopy(stored));
    if (!type.memory)
        return std::nullopt;
    if (kind != H5T_OPAQUE && H5Tget_size(stored) > 1) {
        const auto order = H5Tget_order(stored);
        type.littleEndian = order == H5T_ORDER_LE;
        const bool swaps = order == H5T_ORDER_BE && number && H5Tset_order(type.memory.id(), H5T_ORDER_LE) >= 0;
        if (!type.littleEndian && !swaps)
            return std::nullopt;
    }
    return type;
}

}  // namespace quantloupe::read_hdf5
