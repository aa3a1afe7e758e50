// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/number_formats/number_format.h"

#include <algorithm>
#include <array>

namespace quantloupe {

namespace number_formats {
#define QUANTLOUPE_ENTRY(name) extern const NumberFormat name;
#include "core/number_formats/registry.inc"  // written by CMake from the one list
#undef QUANTLOUPE_ENTRY
}  // namespace number_formats

std::span<const NumberFormat* const> numberFormats()
{
#define QUANTLOUPE_ENTRY(name) &number_formats::name,
    static constexpr std::array table {
#include "core/number_formats/registry.inc"
    };
#undef QUANTLOUPE_ENTRY
    return table;
}

const NumberFormat* numberFormatOf(Format format)
{
    for (const NumberFormat* family : numberFormats())
        if (std::find(family->formats.begin(), family->formats.end(), format) != family->formats.end())
            return family;
    return nullptr;
}

}  // namespace quantloupe
