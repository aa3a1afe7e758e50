// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/projection/device.h"
#include "tests/support/synthetic_study.h"
#include "widgets/report/html_figures.h"
#include "widgets/report/html_report.h"
#include "widgets/theme/theme.h"

#include <QDir>
#include <QFile>
#include <QRegularExpression>
#include <QSet>
#include <QSvgRenderer>
#include <QTest>
#include <QXmlStreamReader>

using namespace quantloupe;

namespace {

ReportOptions fullOptions()
{
    ReportOptions options;
    options.title = "Quantization of a test model";
    options.author = "A. Reviewer";
    options.notes = "First line.\nSecond line.";
    options.date = "2026-01-31";
    options.devices = *loadDevices(std::filesystem::path(QUANTLOUPE_SOURCE_DIR) / "resources" / "devices");
    options.devices.resize(3);
    options.findings = {{ReportFinding::Severity::Problem, "model.layers.0.mlp.down_proj.weight",
                            "4 input channels carry 38 % of the error"},
        {ReportFinding::Severity::Note, "", "31 tensors are kept"}};
    return options;
}

QList<QByteArray> figuresOf(const QByteArray& html)
{
    QList<QByteArray> found;
    for (qsizetype at = html.indexOf("<svg"); at >= 0; at = html.indexOf("<svg", at + 1)) {
        const qsizetype end = html.indexOf("</svg>", at);
        found << html.mid(at, end + 6 - at);
    }
    return found;
}

}  // namespace

class HtmlReportTest : public QObject
{
    Q_OBJECT
private:
    StudySnapshot m_study = tests::syntheticStudy(12, {"int2:g32", "int3:g32", "int4:g32", "int6:g32", "int8"}, 256);

private Q_SLOTS:
    void initTestCase() { Theme::instance().setMode(ThemeMode::Light); }

    void everyFigureIsDrawn()
    {
        const ReportDocument document = buildReport(m_study, fullOptions());
        const QByteArray html = renderHtml(document, m_study);
        const QString folder = qEnvironmentVariable("QUANTLOUPE_SCREENSHOTS");
        if (!folder.isEmpty() && QDir().mkpath(folder)) {
            QFile file(QDir(folder).filePath(QStringLiteral("report.html")));
            QVERIFY(file.open(QIODevice::WriteOnly));
            file.write(html);
        }
        QStringList missing;
        int figures = 0;
        for (const ReportSection& section : document.sections) {
            QVERIFY(html.contains("id=\"section-" + QByteArray::fromStdString(section.id) + "\""));
            for (const ReportBlock& block : section.blocks) {
                if (const auto* figure = std::get_if<ReportFigure>(&block)) {
                    ++figures;
                    if (!html.contains("<figure id=\"" + QByteArray::fromStdString(figure->id) + "\">"))
                        missing << QString::fromStdString(figure->id);
                }
            }
        }
        // Sizes, ranges, map, ranking, roles, histogram, trade-off, memory, and two per device.
        QCOMPARE(figures, 8 + 2 * 3);
        QCOMPARE(missing, QStringList {});
        QCOMPARE(figuresOf(html).size(), figures);
    }

    void figuresAreWellFormedAndApart()
    {
        const QByteArray html = renderHtml(buildReport(m_study, fullOptions()), m_study);
        QSet<QString> ids;
        for (const QByteArray& svg : figuresOf(html)) {
            QXmlStreamReader reader(svg);
            bool texts = false;
            QSet<QString> own;
            while (!reader.atEnd()) {
                if (reader.readNext() != QXmlStreamReader::StartElement)
                    continue;
                texts = texts || reader.name() == QStringLiteral("text");
                QVERIFY(reader.name() != QStringLiteral("script") && reader.name() != QStringLiteral("title"));
                const QString id = reader.attributes().value(QStringLiteral("id")).toString();
                if (!id.isEmpty()) {
                    QVERIFY2(!ids.contains(id), qPrintable(id));
                    ids << id;
                    own << id;
                }
                for (const auto& attribute : reader.attributes()) {
                    static const QRegularExpression reference(QStringLiteral("url\\(#([^)]*)\\)"));
                    if (const auto match = reference.match(attribute.value()); match.hasMatch())
                        QVERIFY2(own.contains(match.captured(1)), qPrintable(match.captured(1)));
                }
            }
            QVERIFY2(!reader.hasError(), qPrintable(reader.errorString()));
            QVERIFY(texts);
            QVERIFY(svg.contains("viewBox"));
            QVERIFY(svg.contains("role=\"img\""));
        }
    }

    void idsArePrefixed()
    {
        const QByteArray svg =
            "<?xml version=\"1.0\"?><!DOCTYPE svg><svg width=\"10mm\" height=\"5mm\" viewBox=\"0 0 10 5\" "
            "xmlns=\"http://www.w3.org/2000/svg\" xmlns:xlink=\"http://www.w3.org/1999/xlink\"><title>t</title>"
            "<defs><linearGradient id=\"g1\"/></defs><rect fill=\"url(#g1)\"/><use xlink:href=\"#g1\"/>"
            "<text>a &lt; b url(#g1)</text></svg>";
        const QByteArray out = inlineSvg(svg, QStringLiteral("f-"), QStringLiteral("a \"label\" <b>"));
        QVERIFY(out.startsWith("<svg viewBox=\"0 0 10 5\""));
        QVERIFY(
            out.contains("id=\"f-g1\"") && out.contains("fill=\"url(#f-g1)\"") && out.contains("xlink:href=\"#f-g1\""));
        QVERIFY(out.contains("a &lt; b url(#g1)"));
        QVERIFY(out.contains("aria-label=\"a &quot;label&quot; &lt;b&gt;\""));
        QVERIFY(!out.contains("<title>"));
        QVERIFY(inlineSvg("<svg><g></svg>", QStringLiteral("f-"), QString()).isEmpty());
    }

    void standsAlone()
    {
        const QByteArray html = renderHtml(buildReport(m_study, fullOptions()), m_study);
        QVERIFY(html.startsWith("<!DOCTYPE html>"));
        for (const char* forbidden :
            {"<script", "<link", "<iframe", "<img", "@import", "javascript:", " onclick", "src=\"http", "href=\"http"})
            QVERIFY2(!html.contains(forbidden), forbidden);
        QVERIFY(html.contains("prefers-color-scheme: dark") && html.contains("@media print"));
        QVERIFY(html.contains("This model is synthetic"));
    }

    void hostileNames_data()
    {
        QTest::addColumn<QByteArray>("name");
        QTest::newRow("script") << QByteArray("<script>alert(1)</script>");
        QTest::newRow("attribute") << QByteArray("\" onmouseover=\"alert(1)");
        QTest::newRow("end of svg") << QByteArray("</text></svg><img src=x onerror=alert(1)>");
        QTest::newRow("entity") << QByteArray("&lt;b&gt;");
        QTest::newRow("placeholders") << QByteArray("%1 %2 %99");
        QTest::newRow("control characters") << QByteArray("a\x01\x02\nb");
    }
    void hostileNames()
    {
        QFETCH(QByteArray, name);
        StudySnapshot study;
        study.model = tests::syntheticCatalog(1);
        study.model.tensors[2].name = name.toStdString();
        study.model.config.architecture = name.toStdString();
        for (const CatalogTensor& tensor : study.model.tensors) {
            const WeightStatistics weights = tests::syntheticWeights(tensor);
            study.add({tensor.name, weights,
                {tests::syntheticMeasurement(tensor, weights, tests::scheme("int4:g32")),
                    tests::syntheticMeasurement(tensor, weights, tests::scheme("int8"))}});
        }
        study.recipe = Recipe::uniform(tests::scheme("int4:g32"), study.model);
        study.recipe->notes = name.toStdString();
        ReportOptions options;
        options.author = options.notes = name.toStdString();
        const QByteArray html = renderHtml(buildReport(study, options), study);
        QVERIFY(!html.contains("<script") && !html.contains("<img") && !html.contains("\" onmouseover=\""));
        QVERIFY(!html.contains('\x01'));
        QCOMPARE(html.count("<svg"), html.count("</svg>"));
        for (const QByteArray& svg : figuresOf(html)) {
            QXmlStreamReader reader(svg);
            while (!reader.atEnd())
                reader.readNext();
            QVERIFY2(!reader.hasError(), qPrintable(reader.errorString()));
        }
    }

    void repeatsBitForBitInBothThemes()
    {
        const ReportDocument document = buildReport(m_study, fullOptions());
        const QByteArray first = renderHtml(document, m_study);
        Theme::instance().setMode(ThemeMode::Dark);
        const QByteArray second = renderHtml(document, m_study);
        Theme::instance().setMode(ThemeMode::Light);
        QCOMPARE(first, second);
    }

    void emptyStudy()
    {
        const StudySnapshot study;
        const QByteArray html = renderHtml(buildReport(study, {}), study);
        QVERIFY(html.contains("</html>"));
    }
};

QTEST_MAIN(HtmlReportTest)
#include "tst_html_report.moc"
