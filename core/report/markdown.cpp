// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/report/formatting.h"

#include <algorithm>
#include <cctype>
#include <string_view>

namespace quantloupe {

namespace {

bool isWord(char character)
{
    return std::isalnum(static_cast<unsigned char>(character)) || static_cast<unsigned char>(character) >= 0x80;
}

/// Text on one line that no Markdown reader takes for markup or HTML.
std::string escaped(std::string_view text, bool startsLine = true)
{
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char character = text[i];
        switch (character) {
        case '&': out += "&amp;"; break;
        case '<': out += "&lt;"; break;
        case '>': out += "&gt;"; break;
        case '\\':
        case '|':
        case '*':
        case '`':
        case '[':
        case ']':
        case '~':
        case '$': out += {'\\', character}; break;
        case '_':
            // Inside a word an underscore is plain text; tensor names stay readable in the source.
            if (i > 0 && i + 1 < text.size() && isWord(text[i - 1]) && isWord(text[i + 1]))
                out += '_';
            else
                out += "\\_";
            break;
        case '#':
        case '+':
        case '-':
        case '=':
            // Markup only at the start of a line.
            if (i == 0 && startsLine)
                out += '\\';
            out += character;
            break;
        default: out += static_cast<unsigned char>(character) < 0x20 || character == 0x7f ? ' ' : character;
        }
    }
    // "1. text" at the start of a line would become a list.
    const std::size_t digits = !startsLine ? std::string::npos : out.find_first_not_of("0123456789");
    if (digits != std::string::npos && digits > 0 && (out[digits] == '.' || out[digits] == ')')
        && digits + 1 < out.size() && out[digits + 1] == ' ')
        out.insert(digits, 1, '\\');
    return out;
}

void write(std::string& out, const ReportTable& table)
{
    if (table.header.empty())
        return;
    out += "**" + escaped(table.caption) + "**\n\n|";
    for (const std::string& title : table.header)
        out += ' ' + escaped(title) + " |";
    out += "\n|";
    for (std::size_t column = 0; column < table.header.size(); ++column)
        out += isNumericColumn(table, column) ? " ---: |" : " --- |";
    out += '\n';
    for (const auto& row : table.rows) {
        out += '|';
        for (const ReportCell& cell : row)
            out += ' ' + escaped(formatCell(cell), false) + " |";
        out += '\n';
    }
    out += '\n';
}

void write(std::string& out, const ReportParagraph& paragraph)
{
    out += escaped(paragraph.text) + "\n\n";
}

void write(std::string& out, const ReportFigure& figure)
{
    write(out, figure.data);
}

void write(std::string& out, const ReportCode& code)
{
    // The fence must be longer than any run of backticks inside.
    std::size_t longest = 0, run = 0;
    for (const char character : code.text) {
        run = character == '`' ? run + 1 : 0;
        longest = std::max(longest, run);
    }
    const std::string fence(std::max<std::size_t>(3, longest + 1), '`');
    out += fence + code.language + '\n' + code.text;
    if (!code.text.empty() && code.text.back() != '\n')
        out += '\n';
    out += fence + "\n\n";
}

}  // namespace

std::string renderMarkdown(const ReportDocument& document)
{
    std::string out = "# " + escaped(document.title) + "\n\n";
    std::string byline = escaped(document.author);
    if (!document.date.empty())
        byline += (byline.empty() ? "" : ", ") + escaped(document.date);
    if (!byline.empty())
        out += byline + "\n\n";
    if (!document.notes.empty())
        out += escaped(document.notes) + "\n\n";
    for (const ReportSection& section : document.sections) {
        out += "## " + escaped(section.title) + "\n\n";
        for (const ReportBlock& block : section.blocks)
            std::visit([&](const auto& content) { write(out, content); }, block);
    }
    while (out.size() > 1 && out[out.size() - 2] == '\n')
        out.pop_back();
    return out;
}

}  // namespace quantloupe
