// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/report/document.h"
#include "core/study/error_metric.h"
#include "core/report/trade_off.h"
#include "tests/support/synthetic_study.h"

#include <QTest>

#include <cmath>
#include <set>

using namespace quantloupe;

namespace {

const ReportTable* findTable(const ReportDocument& document, std::string_view id)
{
    for (const ReportSection& section : document.sections) {
        for (const ReportBlock& block : section.blocks) {
            if (const auto* table = std::get_if<ReportTable>(&block); table && table->id == id)
                return table;
            if (const auto* figure = std::get_if<ReportFigure>(&block); figure && figure->data.id == id)
                return &figure->data;
        }
    }
    return nullptr;
}

double number(const ReportCell& cell)
{
    return std::get<ReportNumber>(cell).value;
}
const std::string& text(const ReportCell& cell)
{
    return std::get<std::string>(cell);
}
bool near(double value, double expected)
{
    return std::abs(value - expected) <= 1e-12 * std::abs(expected);
}

ReportOptions fullOptions()
{
    ReportOptions options;
    options.devices = {tests::syntheticDevice("small", "A small board", 4e9, 1e10, 1e11),
        tests::syntheticDevice("big", "A big card", 24e9, 1e12, 8e13)};
    options.findings = {{ReportFinding::Severity::Problem, "model.layers.0.mlp.down_proj.weight",
        "4 channels carry 38 % of the error"}};
    return options;
}

}  // namespace

class ReportDocumentTest : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void everySectionOnceInOrder()
    {
        const ReportDocument document = buildReport(tests::syntheticStudy(2), fullOptions());
        std::vector<std::pair<std::string, std::string>> built;
        for (const ReportSection& section : document.sections)
            built.emplace_back(section.id, section.title);
        QCOMPARE(built.size(), std::size_t {9});
        QCOMPARE(built, reportSections());
    }

    void idsAreUnique()
    {
        const ReportDocument document = buildReport(tests::syntheticStudy(2), fullOptions());
        std::multiset<std::string> ids;
        for (const ReportSection& section : document.sections) {
            ids.insert(section.id);
            for (const ReportBlock& block : section.blocks) {
                if (const auto* table = std::get_if<ReportTable>(&block))
                    ids.insert(table->id);
                if (const auto* figure = std::get_if<ReportFigure>(&block)) {
                    ids.insert(figure->id);
                    if (!figure->data.header.empty())
                        ids.insert(figure->data.id);
                }
            }
        }
        // A section and its main table may share an id ("layers"); the HTML renderer prefixes section anchors.
        for (const std::string& id : ids)
            QVERIFY2(ids.count(id) == 1 || (ids.count(id) == 2 && findTable(document, id)), id.c_str());
    }

    void chosenSectionsOnly()
    {
        ReportOptions options = fullOptions();
        options.sections = {"recipe", "layers"};
        const ReportDocument document = buildReport(tests::syntheticStudy(1), options);
        QCOMPARE(document.sections.size(), std::size_t {2});
        QCOMPARE(document.sections[0].id, std::string("recipe"));
        QCOMPARE(document.sections[1].id, std::string("layers"));
    }

    void repeatsBitForBit()
    {
        const ReportDocument first = buildReport(tests::syntheticStudy(4), fullOptions());
        const ReportDocument second = buildReport(tests::syntheticStudy(4), fullOptions());
        QCOMPARE(renderMarkdown(first), renderMarkdown(second));
        QCOMPARE(renderCsv(first), renderCsv(second));
    }

    void saysSynthetic()
    {
        StudySnapshot study = tests::syntheticStudy(1);
        QVERIFY(renderMarkdown(buildReport(study, {})).find("This model is synthetic") != std::string::npos);
        study.model.synthetic = false;
        QVERIFY(renderMarkdown(buildReport(study, {})).find("synthetic") == std::string::npos);
    }

    void layerFigures()
    {
        const StudySnapshot study = tests::syntheticStudy(3);
        const ReportTable* table = findTable(buildReport(study, {}), "layers");
        const ReportDocument document = buildReport(study, {});
        table = findTable(document, "layers");
        QVERIFY(table);
        QCOMPARE(table->rows.size(), study.model.tensors.size());
        QCOMPARE(table->header[5], std::string("Stored (KiB)"));
        bool sawDown = false, sawNorm = false;
        for (const auto& row : table->rows) {
            if (text(row[0]) == "model.layers.2.mlp.down_proj.weight") {
                sawDown = true;
                // 64 × 192 weights as int4:g32: half a byte each and a 16-bit scale per 32.
                QCOMPARE(text(row[4]), std::string("int4:g32"));
                QVERIFY(near(number(row[5]), 64.0 * 192 * 4 / 1024));
                QVERIFY(near(number(row[6]), (64.0 * 192 / 2 + 64.0 * 6 * 2) / 1024));
                QVERIFY(near(number(row[7]), 4.5));
                // The fixture's formula: 4^(1−4) · 0.2 · 1.2 · 10.
                const double relative = 0.2 * 1.2 * 10.0 / 64.0;
                QVERIFY(near(number(row[9]), relative));
                QVERIFY(std::abs(number(row[8]) + 10.0 * std::log10(relative)) < 1e-9);
                QVERIFY(near(number(row[10]), 100.0 * 12.0 / (64 * 192)));
            } else if (text(row[0]) == "model.norm.weight") {
                sawNorm = true;
                QCOMPARE(text(row[4]), std::string("kept"));
                QVERIFY(std::isinf(number(row[8])));
                QCOMPARE(number(row[9]), 0.0);
            }
        }
        QVERIFY(sawDown && sawNorm);
    }

    void unmeasuredIsNotLossless()
    {
        StudySnapshot study = tests::syntheticStudy(1, {"int8"});
        const ReportDocument document = buildReport(study, {});
        for (const auto& row : findTable(document, "layers")->rows) {
            if (text(row[4]) == "int4:g32")
                QVERIFY(std::isnan(number(row[8])) && std::isnan(number(row[9])));
        }
        QVERIFY(renderMarkdown(document).find("were not measured under their scheme") != std::string::npos);
    }

    void sizesByRoleAddUp()
    {
        const StudySnapshot study = tests::syntheticStudy(5);
        const Plan plan = resolve(*study.recipe, study.model);
        const ReportDocument document = buildReport(study, {});
        const ReportTable* table = findTable(document, "size_by_role");
        QVERIFY(table);
        double stored = 0, share = 0, planned = 0, tensors = 0;
        for (const auto& row : table->rows) {
            tensors += number(row[1]);
            stored += number(row[3]);
            share += number(row[4]);
            planned += number(row[5]);
        }
        QCOMPARE(tensors, double(study.model.tensors.size()));
        QVERIFY(near(stored * 1024.0, double(study.model.bytes())));
        QVERIFY(near(share, 100.0));
        QVERIFY(near(planned * 1024.0, double(plan.bytes)));
    }

    void rankingIsByRelativeError()
    {
        const StudySnapshot study = tests::syntheticStudy(30);
        const ReportDocument document = buildReport(study, {});
        const ReportTable* table = findTable(document, "ranking");
        QVERIFY(table);
        QCOMPARE(table->rows.size(), std::size_t {20});
        QVERIFY(table->caption.find("int4:g32") != std::string::npos);
        // Down projections suffer most, deeper ones more: block 29 comes first.
        for (std::size_t rank = 0; rank < 20; ++rank)
            QCOMPARE(text(table->rows[rank][1]), "model.layers." + std::to_string(29 - rank) + ".mlp.down_proj.weight");
    }

    void savingsMatchTheProjection()
    {
        const StudySnapshot study = tests::syntheticStudy(2);
        ReportOptions options = fullOptions();
        options.workload.keyValueBits = 8.0;
        const ReportDocument document = buildReport(study, options);
        const ReportTable* table = findTable(document, "savings");
        QVERIFY(table);
        QCOMPARE(table->rows.size(), std::size_t {4});
        QCOMPARE(table->header[3], std::string("KV cache (MiB)"));
        // 2 blocks · keys and values · 2 heads · 16 wide · 4096 tokens, 2 bytes each in the base, 1 in the recipe.
        const double values = 2.0 * 2 * 2 * 16 * 4096;
        constexpr double mebibyte = 1048576.0;
        QVERIFY(near(number(table->rows[0][3]) * mebibyte, values * 2));
        QVERIFY(near(number(table->rows[1][3]) * mebibyte, values));
        QVERIFY(near(number(table->rows[0][2]) * mebibyte, double(study.model.bytes())));
        QVERIFY(near(number(table->rows[1][2]) * mebibyte, double(resolve(*study.recipe, study.model).bytes)));
        QVERIFY(number(table->rows[1][9]) > number(table->rows[0][9]));
    }

    void recipeIsQuotedWhole()
    {
        StudySnapshot study = tests::syntheticStudy(1);
        study.recipe->rules.push_back({"*.down_proj.weight", *LayerPlan::parse("int8")});
        const ReportDocument document = buildReport(study, {});
        QVERIFY(renderMarkdown(document).find(study.recipe->toJson()) != std::string::npos);
        QCOMPARE(text(findTable(document, "rules")->rows[1][0]), std::string("*.down_proj.weight"));
        QCOMPARE(text(findTable(document, "rules")->rows[1][1]), std::string("int8"));
    }

    void saysHowManyResultsWereWeighed()
    {
        auto study = tests::syntheticStudy(2);
        QVERIFY(renderMarkdown(buildReport(study, {})).find("importance matrix") == std::string::npos);
        const auto& [tensor, schemes] = *study.measurements.begin();
        TensorMeasurement again {.tensor = tensor, .weights = {}, .schemes = {*schemes->begin()->second}};
        again.schemes.front().importance = 7;
        study.add(again);
        QVERIFY(renderMarkdown(buildReport(study, {})).find("In 1 result scales") != std::string::npos);
    }

    void emptyStudy()
    {
        StudySnapshot study;
        const ReportDocument document = buildReport(study, {});
        QCOMPARE(document.sections.front().id, std::string("summary"));
        QVERIFY(renderCsv(document).find("definitions") != std::string::npos);
    }

    void tradeOffPlacesSchemes()
    {
        const StudySnapshot study = tests::syntheticStudy(2);
        const TradeOffPicture picture = tradeOffPicture(study, &*study.recipe);
        QCOMPARE(picture.uniform.size(), tests::syntheticSchemes.size());
        for (std::size_t i = 1; i < picture.uniform.size(); ++i) {
            QVERIFY(picture.uniform[i - 1].bytes < picture.uniform[i].bytes);
            QVERIFY(picture.uniform[i - 1].error > picture.uniform[i].error);
        }
        QVERIFY(picture.current);
        // The recipe is the uniform int4:g32 one, so it lies on that point.
        QCOMPARE(picture.current->bytes, picture.uniform[2].bytes);
        QCOMPARE(picture.current->error, picture.uniform[2].error);
        QVERIFY(!picture.frontier.points.empty());
    }
};

QTEST_GUILESS_MAIN(ReportDocumentTest)
#include "tst_report_document.moc"
