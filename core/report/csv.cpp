// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/report/formatting.h"

#include <string_view>

namespace quantloupe {

namespace {

/// One field. Source: RFC 4180, sections 2.5 to 2.7.
std::string field(std::string_view text)
{
    std::string content(text);
    if (!content.empty() && std::string_view("=+-@\t\r").find(content.front()) != std::string_view::npos)
        content.insert(0, 1, '\'');
    if (content.find_first_of(",\"\r\n") == std::string::npos)
        return content;
    std::string quoted = "\"";
    for (const char character : content) {
        if (character == '"')
            quoted += '"';
        quoted += character;
    }
    return quoted + '"';
}

/// Numbers in full, so a minus sign never comes from text.
std::string field(const ReportCell& cell)
{
    if (const auto* number = std::get_if<ReportNumber>(&cell))
        return formatFull(number->value);
    return field(std::string_view(std::get<std::string>(cell)));
}

void writeTable(std::string& out, const ReportTable& table)
{
    if (table.header.empty())
        return;
    if (!out.empty())
        out += "\r\n";
    out += field(std::string_view(table.id)) + "\r\n";
    for (std::size_t column = 0; column < table.header.size(); ++column) {
        if (column > 0)
            out += ',';
        out += field(std::string_view(table.header[column]));
    }
    out += "\r\n";
    for (const auto& row : table.rows) {
        for (std::size_t column = 0; column < row.size(); ++column) {
            if (column > 0)
                out += ',';
            out += field(row[column]);
        }
        out += "\r\n";
    }
}

}  // namespace

std::string renderCsv(const ReportDocument& document)
{
    std::string out;
    for (const ReportSection& section : document.sections) {
        for (const ReportBlock& block : section.blocks) {
            if (const auto* table = std::get_if<ReportTable>(&block))
                writeTable(out, *table);
            else if (const auto* figure = std::get_if<ReportFigure>(&block))
                writeTable(out, figure->data);
        }
    }
    return out;
}

}  // namespace quantloupe
