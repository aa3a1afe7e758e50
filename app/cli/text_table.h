// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace quantloupe::cli {

/// One cell: what a person reads, and the value in full for CSV.
struct Cell {
    std::string shown;
    std::string full;
    bool number = false;  ///< right-aligned

    Cell(std::string_view text);
    Cell(const char* text)
        : Cell(std::string_view(text))
    {
    }
    Cell(const std::string& text)
        : Cell(std::string_view(text))
    {
    }
    Cell(std::uint64_t count);
    /// `digits` significant digits; NaN is shown as "–" and empty in CSV.
    Cell(double value, int digits = 4);
};

/// A table for a terminal or a spreadsheet.
class TextTable
{
public:
    explicit TextTable(std::vector<std::string> header)
        : m_header(std::move(header))
    {
    }
    void add(std::vector<Cell> row) { m_rows.push_back(std::move(row)); }

    /// Columns padded with spaces, two between them, a line feed after every row.
    std::string text() const;
    /// RFC 4180 quoting, line feeds.
    std::string csv() const;

private:
    std::vector<std::string> m_header;
    std::vector<std::vector<Cell>> m_rows;
};

/// "1.25 GB": decimal units, as disks and memory bandwidths are sold.
std::string byteText(double bytes);

/// Text from a file made fit for a terminal: control characters and malformed UTF-8 replaced.
std::string printable(std::string_view text);

}  // namespace quantloupe::cli
