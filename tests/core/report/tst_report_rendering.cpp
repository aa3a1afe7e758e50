// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/report/document.h"

#include <QTest>

using namespace quantloupe;

namespace {

ReportDocument documentWith(ReportTable table)
{
    ReportDocument document;
    document.title = "A title";
    document.sections.push_back({"layers", "Layers", {std::move(table)}});
    return document;
}

/// A reader of RFC 4180, written apart from the writer: fields of every line.
QList<QStringList> parseCsv(const QString& text)
{
    QList<QStringList> rows {{}};
    QString field;
    bool quoted = false;
    for (qsizetype i = 0; i < text.size(); ++i) {
        const QChar character = text[i];
        if (quoted) {
            if (character == u'"' && i + 1 < text.size() && text[i + 1] == u'"')
                field += text[++i];
            else if (character == u'"')
                quoted = false;
            else
                field += character;
        } else if (character == u'"') {
            quoted = true;
        } else if (character == u',') {
            rows.last() << std::exchange(field, {});
        } else if (character == u'\r' && i + 1 < text.size() && text[i + 1] == u'\n') {
            ++i;
            rows.last() << std::exchange(field, {});
            rows << QStringList {};
        } else {
            field += character;
        }
    }
    rows.removeLast();
    return rows;
}

}  // namespace

class ReportRenderingTest : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void markdownEscapes_data()
    {
        QTest::addColumn<QByteArray>("name");
        QTest::addColumn<QByteArray>("cell");
        QTest::newRow("plain") << QByteArray("model.layers.0.self_attn.q_proj.weight")
                               << QByteArray("model.layers.0.self_attn.q_proj.weight");
        QTest::newRow("script") << QByteArray("<script>alert(1)</script>")
                                << QByteArray("&lt;script&gt;alert(1)&lt;/script&gt;");
        QTest::newRow("pipe") << QByteArray("a|b") << QByteArray("a\\|b");
        QTest::newRow("backslash before a pipe") << QByteArray("a\\|b") << QByteArray("a\\\\\\|b");
        QTest::newRow("line feeds") << QByteArray("a\n\n# b\r\nc") << QByteArray("a  # b  c");
        QTest::newRow("emphasis") << QByteArray("*a* _b_ `c`") << QByteArray("\\*a\\* \\_b\\_ \\`c\\`");
        QTest::newRow("link") << QByteArray("![x](y)") << QByteArray("!\\[x\\](y)");
        QTest::newRow("minus in a cell") << QByteArray("-0.5") << QByteArray("-0.5");
        QTest::newRow("entity") << QByteArray("&lt;") << QByteArray("&amp;lt;");
        QTest::newRow("not ASCII") << QByteArray("Größe 量化") << QByteArray("Größe 量化");
    }
    void markdownEscapes()
    {
        QFETCH(QByteArray, name);
        QFETCH(QByteArray, cell);
        const std::string text = renderMarkdown(documentWith({"layers", "Every tensor", {"Tensor", "SQNR (dB)"},
            {{name.toStdString(), ReportNumber {24.5, 2, ReportNumber::Notation::Fixed}}}}));
        const QByteArray expected = "| Tensor | SQNR (dB) |\n| --- | ---: |\n| " + cell + " | 24.50 |\n";
        QVERIFY2(QByteArray::fromStdString(text).contains(expected), text.c_str());
    }

    void markdownParagraphIsNoMarkup_data()
    {
        QTest::addColumn<QByteArray>("text");
        QTest::addColumn<QByteArray>("line");
        QTest::newRow("heading") << QByteArray("# big") << QByteArray("\\# big");
        QTest::newRow("list") << QByteArray("- item") << QByteArray("\\- item");
        QTest::newRow("numbered list") << QByteArray("1. item") << QByteArray("1\\. item");
        QTest::newRow("rule under a heading") << QByteArray("===") << QByteArray("\\===");
        QTest::newRow("a number") << QByteArray("1.5 bits") << QByteArray("1.5 bits");
    }
    void markdownParagraphIsNoMarkup()
    {
        QFETCH(QByteArray, text);
        QFETCH(QByteArray, line);
        ReportDocument document;
        document.title = "A title";
        document.sections.push_back({"summary", "Summary", {ReportParagraph {text.toStdString()}}});
        QCOMPARE(QByteArray::fromStdString(renderMarkdown(document)), "# A title\n\n## Summary\n\n" + line + "\n");
    }

    void codeKeepsItsFence()
    {
        ReportDocument document;
        document.title = "A title";
        document.sections.push_back({"recipe", "Recipe", {ReportCode {"json", "{\"notes\": \"```\\n<b>\"}\n"}}});
        QCOMPARE(QByteArray::fromStdString(renderMarkdown(document)),
            QByteArray("# A title\n\n## Recipe\n\n````json\n{\"notes\": \"```\\n<b>\"}\n````\n"));
    }

    void csvReadsBack_data()
    {
        QTest::addColumn<QByteArray>("name");
        QTest::addColumn<QString>("field");
        QTest::newRow("plain") << QByteArray("a.weight") << "a.weight";
        QTest::newRow("comma and quotes") << QByteArray("a,\"b\"") << "a,\"b\"";
        QTest::newRow("line feeds") << QByteArray("a\r\nb\nc") << "a\r\nb\nc";
        QTest::newRow("formula") << QByteArray("=HYPERLINK(\"x\")") << "'=HYPERLINK(\"x\")";
        QTest::newRow("plus") << QByteArray("+1") << "'+1";
        QTest::newRow("minus") << QByteArray("-1") << "'-1";
        QTest::newRow("at") << QByteArray("@SUM(A1)") << "'@SUM(A1)";
        QTest::newRow("tab") << QByteArray("\t=1") << "'\t=1";
        QTest::newRow("script") << QByteArray("<script>") << "<script>";
    }
    void csvReadsBack()
    {
        QFETCH(QByteArray, name);
        QFETCH(QString, field);
        const std::string text = renderCsv(documentWith({"layers", "Every tensor", {"Tensor", "Error", "SQNR (dB)"},
            {{name.toStdString(), ReportNumber {-0.1234567890123456, 2}, ReportNumber {std::nan(""), 2}}}}));
        const auto rows = parseCsv(QString::fromStdString(text));
        QCOMPARE(rows.size(), 3);
        QCOMPARE(rows[0], QStringList {"layers"});
        QCOMPARE(rows[1], (QStringList {"Tensor", "Error", "SQNR (dB)"}));
        // Numbers in full, negative ones untouched, unknown ones empty.
        QCOMPARE(rows[2], (QStringList {field, "-0.1234567890123456", ""}));
    }

    void csvHoldsTheTablesOfFigures()
    {
        ReportFigure figure {ReportFigure::Kind::SensitivityMap, "figure", "A map"};
        figure.data = {"map", "A map", {"Tensor", "int8"}, {{std::string("a"), ReportNumber {44.0}}}};
        ReportDocument document = documentWith({"layers", "Every tensor", {"Tensor"}, {{std::string("b")}}});
        document.sections.front().blocks.push_back(figure);
        QCOMPARE(QByteArray::fromStdString(renderCsv(document)),
            QByteArray("layers\r\nTensor\r\nb\r\n\r\nmap\r\nTensor,int8\r\na,44\r\n"));
    }
};

QTEST_GUILESS_MAIN(ReportRenderingTest)
#include "tst_report_rendering.moc"
