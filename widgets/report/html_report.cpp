// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/report/html_report.h"

#include "core/report/formatting.h"
#include "widgets/report/html_figures.h"
#include "widgets/report/html_style.h"
#include "widgets/report/html_text.h"

#include <QString>

#include <algorithm>

using namespace quantloupe;
using html_report_text::tr;

namespace {

/// Names come from files that anyone may have made. Control characters have no place in HTML.
QString escaped(const std::string& text)
{
    QString clean = QString::fromStdString(text);
    for (QChar& character : clean) {
        if (character.unicode() < 0x20 && character != u'\n' && character != u'\t')
            character = QChar::ReplacementCharacter;
    }
    return clean.toHtmlEscaped();
}

/// Names may break after a dot or an underscore rather than anywhere.
QString breakable(const QString& text)
{
    constexpr qsizetype longText = 16;
    if (text.size() <= longText || text.contains(u' '))
        return text;
    QString result = text;
    return result.replace(u'.', QStringLiteral(".<wbr>")).replace(u'_', QStringLiteral("_<wbr>"));
}

/// Lays out one document; the parts of a page share where it stands.
class HtmlWriter
{
public:
    HtmlWriter(const ReportDocument& document, const StudySnapshot& study)
        : m_document(document)
        , m_study(study)
    {
    }

    QByteArray page();

private:
    void write(const ReportParagraph& paragraph)
    {
        m_html += QStringLiteral("<p>%1</p>\n").arg(escaped(paragraph.text));
    }
    void write(const ReportCode& code)
    {
        m_html += QStringLiteral("<pre><code>%1</code></pre>\n").arg(escaped(code.text));
    }
    void write(const ReportTable& table);
    void write(const ReportFigure& figure);
    void writeHead();

    const ReportDocument& m_document;
    const StudySnapshot& m_study;
    QString m_html;
};

void HtmlWriter::write(const ReportTable& table)
{
    if (table.header.empty())
        return;
    std::vector<bool> numeric;
    for (std::size_t column = 0; column < table.header.size(); ++column)
        numeric.push_back(isNumericColumn(table, column));
    const auto kind = [&](std::size_t column) {
        return numeric[column] ? QStringLiteral(" class=\"number\"") : QString();
    };
    // Long ones scroll in their place, so that the page stays a page.
    constexpr std::size_t longTable = 32;
    m_html += QStringLiteral(
        "<div class=\"table%3\" id=\"table-%1\" tabindex=\"0\"><table>\n<caption>%2</caption>\n<thead><tr>")
                  .arg(escaped(table.id), escaped(table.caption),
                      table.rows.size() > longTable ? QStringLiteral(" long") : QString());
    for (std::size_t column = 0; column < table.header.size(); ++column)
        m_html += QStringLiteral("<th scope=\"col\"%1>%2</th>").arg(kind(column), escaped(table.header[column]));
    m_html += QStringLiteral("</tr></thead>\n<tbody>\n");
    for (const auto& row : table.rows) {
        m_html += QStringLiteral("<tr>");
        for (std::size_t column = 0; column < row.size(); ++column)
            m_html += QStringLiteral("<td%1>%2</td>")
                          .arg(column < numeric.size() ? kind(column) : QString(),
                              breakable(escaped(formatCell(row[column]))));
        m_html += QStringLiteral("</tr>\n");
    }
    m_html += QStringLiteral("</tbody>\n</table></div>\n");
}

void HtmlWriter::write(const ReportFigure& figure)
{
    const QByteArray svg = drawFigure(figure, m_document, m_study);
    if (!svg.isEmpty()) {
        m_html += QStringLiteral("<figure id=\"%1\">\n%2\n<figcaption>%3</figcaption>\n</figure>\n")
                      .arg(escaped(figure.id), QString::fromUtf8(svg), escaped(figure.caption));
    }
    if (figure.data.rows.empty())
        return;
    // Where there is no drawing the data stand in for it, open.
    m_html += QStringLiteral("<details%1><summary>%2</summary>\n")
                  .arg(svg.isEmpty() ? QStringLiteral(" open") : QString(),
                      tr(QT_TRANSLATE_NOOP("HtmlReport", "Data of this figure")).toHtmlEscaped());
    write(figure.data);
    m_html += QStringLiteral("</details>\n");
}

void HtmlWriter::writeHead()
{
    m_html += QStringLiteral("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                             "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                             "<meta name=\"color-scheme\" content=\"light dark\">\n"
                             "<meta name=\"generator\" content=\"Quantloupe\">\n"
                             "<title>%1</title>\n<style>%2</style>\n</head>\n")
                  .arg(escaped(m_document.title), QString::fromUtf8(htmlReportStyle));
}

QByteArray HtmlWriter::page()
{
    writeHead();
    m_html += QStringLiteral("<body>\n<main>\n<header>\n<h1>%1</h1>\n").arg(escaped(m_document.title));
    QString byline = escaped(m_document.author);
    if (!m_document.date.empty())
        byline += (byline.isEmpty() ? QString() : QStringLiteral(", ")) + escaped(m_document.date);
    if (!byline.isEmpty())
        m_html += QStringLiteral("<p class=\"byline\">%1</p>\n").arg(byline);
    if (!m_document.notes.empty())
        m_html += QStringLiteral("<p class=\"notes\">%1</p>\n").arg(escaped(m_document.notes));
    m_html += QStringLiteral("<nav aria-label=\"Sections\"><ul>");
    for (const ReportSection& section : m_document.sections)
        m_html +=
            QStringLiteral("<li><a href=\"#section-%1\">%2</a></li>").arg(escaped(section.id), escaped(section.title));
    m_html += QStringLiteral("</ul></nav>\n</header>\n");
    for (const ReportSection& section : m_document.sections) {
        m_html += QStringLiteral("<section id=\"section-%1\">\n<h2>%2</h2>\n")
                      .arg(escaped(section.id), escaped(section.title));
        for (const ReportBlock& block : section.blocks)
            std::visit([this](const auto& content) { write(content); }, block);
        m_html += QStringLiteral("</section>\n");
    }
    m_html += QStringLiteral("</main>\n</body>\n</html>\n");
    return m_html.toUtf8();
}

}  // namespace

QByteArray renderHtml(const ReportDocument& document, const StudySnapshot& study)
{
    return HtmlWriter(document, study).page();
}
