// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/report/document.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace quantloupe {

/// As text renderings show it: never by the locale; "–" for NaN, "∞" for infinity.
std::string formatNumber(const ReportNumber& number);
/// The shortest text that reads back as the same double; empty for NaN, "inf" and "-inf".
std::string formatFull(double value);
std::string formatCell(const ReportCell& cell);

/// A binary unit for a whole column, so that its figures compare at a glance.
struct ByteUnit {
    double divisor = 1.0;
    std::string_view name = "bytes";  ///< "bytes", "KiB", "MiB", "GiB", "TiB"
};
/// The largest unit in which `largest` is at least 1.
ByteUnit byteUnit(std::uint64_t largest);
/// "15.0 GiB": three significant digits.
std::string formatBytes(std::uint64_t bytes);
/// "8.03 B", "260 k", "512": three significant digits, decimal prefixes.
std::string formatCount(std::uint64_t count);
/// "4096 × 11008".
std::string formatShape(const Shape& shape);

/// Whether a column reads best flush right: half of its cells or more are numbers.
bool isNumericColumn(const ReportTable& table, std::size_t column);

ReportNumber fixedNumber(double value, int decimals);
ReportNumber scientificNumber(double value, int decimals);

}  // namespace quantloupe
