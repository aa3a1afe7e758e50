// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/report/formatting.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace quantloupe {

namespace {

std::string print(double value, std::chars_format format, int digits)
{
    std::array<char, 512> buffer;  // fixed notation of the largest double takes 309 digits
    const auto result =
        std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, format, std::clamp(digits, 0, 17));
    return {buffer.data(), result.ptr};
}

std::string significant(double value, int digits)
{
    if (value == 0.0)
        return "0";
    digits = std::max(digits, 1);
    // The exponent after rounding: 9.9996 with four digits is 10.00, not 10.000.
    std::string rounded = print(value, std::chars_format::scientific, digits - 1);
    int exponent = 0;
    const std::size_t mark = rounded.find('e');
    const char* first = rounded.data() + mark + (rounded[mark + 1] == '+' ? 2 : 1);
    std::from_chars(first, rounded.data() + rounded.size(), exponent);
    if (exponent < -3 || exponent > 8)
        return rounded;
    return print(value, std::chars_format::fixed, std::max(0, digits - 1 - exponent));
}

std::string withPrefix(double value, double base, const std::array<std::string_view, 5>& prefixes)
{
    std::size_t step = 0;
    // 999.5 shows as 1000 with three digits: take the next prefix before that happens.
    while (step + 1 < prefixes.size() && value >= (base == 1000.0 ? 999.5 : base)) {
        value /= base;
        ++step;
    }
    const std::string number = step == 0 ? print(value, std::chars_format::fixed, 0) : significant(value, 3);
    return prefixes[step].empty() ? number : number + ' ' + std::string(prefixes[step]);
}

}  // namespace

std::string formatNumber(const ReportNumber& number)
{
    if (std::isnan(number.value))
        return "–";
    if (std::isinf(number.value))
        return number.value > 0 ? "∞" : "−∞";
    switch (number.notation) {
    case ReportNumber::Notation::Significant: return significant(number.value, number.digits);
    case ReportNumber::Notation::Fixed: return print(number.value, std::chars_format::fixed, number.digits);
    case ReportNumber::Notation::Scientific:
        // 0.00e+00 would look like a measured figure.
        return number.value == 0.0 ? "0" : print(number.value, std::chars_format::scientific, number.digits);
    }
    return {};
}

std::string formatFull(double value)
{
    if (std::isnan(value))
        return {};
    if (std::isinf(value))
        return value > 0 ? "inf" : "-inf";
    std::array<char, 512> buffer;
    // Counts and sizes as plain digits: spreadsheets and scripts read 1e+06 less well.
    const bool plain = value == std::trunc(value) && std::abs(value) < 1e15;
    const auto result = plain
        ? std::to_chars(buffer.data(), buffer.data() + buffer.size(), static_cast<std::int64_t>(value))
        : std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
    return {buffer.data(), result.ptr};
}

std::string formatCell(const ReportCell& cell)
{
    if (const auto* number = std::get_if<ReportNumber>(&cell))
        return formatNumber(*number);
    return std::get<std::string>(cell);
}

ByteUnit byteUnit(std::uint64_t largest)
{
    static constexpr std::array<std::string_view, 5> names {"bytes", "KiB", "MiB", "GiB", "TiB"};
    ByteUnit unit;
    for (std::size_t step = 1; step < names.size() && static_cast<double>(largest) >= unit.divisor * 1024.0; ++step)
        unit = {unit.divisor * 1024.0, names[step]};
    return unit;
}

std::string formatBytes(std::uint64_t bytes)
{
    return withPrefix(static_cast<double>(bytes), 1024.0, {"bytes", "KiB", "MiB", "GiB", "TiB"});
}

std::string formatCount(std::uint64_t count)
{
    return withPrefix(static_cast<double>(count), 1000.0, {"", "k", "M", "B", "T"});
}

std::string formatShape(const Shape& shape)
{
    if (shape.empty())
        return "scalar";
    std::string text;
    for (const std::uint64_t extent : shape)
        text += (text.empty() ? "" : " × ") + std::to_string(extent);
    return text;
}

bool isNumericColumn(const ReportTable& table, std::size_t column)
{
    const auto numbers = std::count_if(table.rows.begin(), table.rows.end(),
        [&](const auto& row) { return column < row.size() && std::holds_alternative<ReportNumber>(row[column]); });
    return numbers > 0 && 2 * static_cast<std::size_t>(numbers) >= table.rows.size();
}

ReportNumber fixedNumber(double value, int decimals)
{
    return {value, decimals, ReportNumber::Notation::Fixed};
}

ReportNumber scientificNumber(double value, int decimals)
{
    return {value, decimals, ReportNumber::Notation::Scientific};
}

}  // namespace quantloupe
