// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/text_table.h"

#include "core/base/text.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

namespace quantloupe::cli {
namespace {

/// Characters a terminal draws: bytes that do not continue a UTF-8 sequence. Double-width scripts are rare in names.
std::size_t width(std::string_view text)
{
    return static_cast<std::size_t>(std::count_if(
        text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0U) != 0x80U; }));
}

std::string quoted(const std::string& text)
{
    if (text.find_first_of(",\"\r\n") == std::string::npos)
        return text;
    std::string out(1, '"');
    for (const char c : text) {
        if (c == '"')
            out += c;
        out += c;
    }
    out += '"';
    return out;
}

}  // namespace

Cell::Cell(std::string_view text)
    : shown(printable(text))
    , full(text)
{
}

Cell::Cell(std::uint64_t count)
    : shown(std::to_string(count))
    , full(shown)
    , number(true)
{
}

Cell::Cell(double value, int digits)
    : number(true)
{
    if (std::isnan(value)) {
        shown = "–";
        return;
    }
    char buffer[64];
    std::snprintf(buffer, sizeof buffer, "%.*g", digits, value);
    shown = buffer;
    const auto end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;  // shortest that reads back the same
    full.assign(buffer, end);
}

std::string TextTable::text() const
{
    std::vector<std::size_t> widths;
    for (const auto& title : m_header)
        widths.push_back(width(title));
    for (const auto& row : m_rows)
        for (std::size_t i = 0; i < row.size(); ++i)
            widths[i] = std::max(widths[i], width(row[i].shown));
    std::string out;
    const auto line = [&](const auto& shown, const auto& rightAligned) {
        std::string text;
        for (std::size_t i = 0; i < widths.size(); ++i) {
            const std::string padding(widths[i] - width(shown(i)), ' ');
            text += rightAligned(i) ? padding + shown(i) : shown(i) + padding;
            text += "  ";
        }
        text.erase(text.find_last_not_of(' ') + 1);
        out += text + '\n';
    };
    const auto numeric = [&](std::size_t i) { return !m_rows.empty() && m_rows.front()[i].number; };
    line([&](std::size_t i) -> const std::string& { return m_header[i]; }, numeric);
    for (const auto& row : m_rows)
        line([&](std::size_t i) -> const std::string& { return row[i].shown; }, numeric);
    return out;
}

std::string TextTable::csv() const
{
    std::string out;
    for (std::size_t i = 0; i < m_header.size(); ++i)
        out += std::string(i != 0, ',') + quoted(m_header[i]);
    out += '\n';
    for (const auto& row : m_rows) {
        for (std::size_t i = 0; i < row.size(); ++i)
            out += std::string(i != 0, ',') + quoted(row[i].full);
        out += '\n';
    }
    return out;
}

std::string byteText(double bytes)
{
    static constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB"};
    std::size_t unit = 0;
    while (bytes >= 999.5 && unit + 1 < std::size(kUnits)) {
        bytes /= 1000.0;
        ++unit;
    }
    char buffer[32];
    std::snprintf(buffer, sizeof buffer, unit == 0 ? "%.0f %s" : "%.3g %s", bytes, kUnits[unit]);
    return buffer;
}

std::string printable(std::string_view text)
{
    auto out = toValidUtf8(text);
    for (auto& c : out)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
            c = '?';
    return out;
}

}  // namespace quantloupe::cli
