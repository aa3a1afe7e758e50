// SPDX-License-Identifier: GPL-3.0-or-later
// What an importance matrix changes, and what it does not.
#include "core/analysis/analyze.h"
#include "core/analysis/inspect.h"
#include "core/analysis/inspect_sample.h"
#include "core/analysis/spread_rows.h"
#include "tests/core/analysis/synthetic_tensor.h"
#include "tests/core/analysis/tensor_weights.h"
#include "tests/support/golden_layers.h"

#include <QTest>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

SchemeMeasurement measured(const ModelTensor& tensor, const char* scheme)
{
    Progress progress;
    const auto parsed = Scheme::parse(scheme).value();
    return measureSchemes(tensor, weightsOf(tensor), {&parsed, 1}, {}, progress).value().front();
}

ModelTensor weighed(const ModelTensor& tensor, std::vector<float> importance, std::uint64_t slices = 1)
{
    auto copy = tensor;
    copy.importance = makeColumnImportance(std::move(importance), slices);
    return copy;
}

std::vector<float> someImportance(std::size_t count, unsigned seed)
{
    std::mt19937 random(seed);
    std::lognormal_distribution<float> spread(0.0F, 2.0F);
    std::vector<float> importance(count);
    for (auto& value : importance)
        value = random() % 16 == 0 ? 0.0F : spread(random);
    return importance;
}

/// Σ of errors as they are weighed.
double weighedError(const SchemeMeasurement& measurement, const std::vector<float>& importance)
{
    double sum = 0.0;
    for (std::size_t i = 0; i < importance.size(); ++i)
        sum += double(importance[i]) * double(measurement.columnErrorEnergy[i]);
    return sum;
}

}  // namespace

class TestImportance : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    // Errors of the blocks that ggml's own quantizer makes of real layers with real importance.
    void ggmlAsTheGoldenSet()
    {
        QUANTLOUPE_NEED(golden() / "index.json");
        const auto layers = goldenLayers();
        std::size_t seen = 0;
        for (const auto& entry : goldenEntries()) {
            const auto method = entry.at("method").get<std::string>();
            const auto& layer = layers.at(entry.at("case").get<std::string>());
            if (!method.starts_with("ggml_") || !method.ends_with("_im") || layer.importance.empty())
                continue;
            const SyntheticTensor whole(layer.rows, layer.columns, layer.weights);
            const auto tensor = weighed(whole.tensor(), layer.importance);
            const auto scheme = method.substr(5, method.size() - 8);
            const auto measurement = measured(tensor, scheme.c_str());
            const auto expected = entry.at("metrics").at("wmse").get<double>();
            const auto what = entry.at("case").get<std::string>() + " " + scheme;
            QVERIFY2(std::abs(measurement.error.mse() - expected) <= 1e-3 * expected, what.c_str());
            QVERIFY2(measurement.importance == tensor.importance->fingerprint, what.c_str());
            QVERIFY(measured(whole.tensor(), scheme.c_str()).error.mse() != measurement.error.mse());
            ++seen;
        }
        QVERIFY(seen >= 15);
    }

    void searchesServeWhatMatters_data()
    {
        QTest::addColumn<QByteArray>("scheme");
        for (const auto* scheme : {"int4:g32:asym:mse", "int3:g64:mse", "int4:mse", "lut3", "q4_0", "q4_1", "q5_1",
                 "q2_k", "q3_k", "q4_k", "q6_k", "iq4_xs", "mxfp4:mse"})
            if (Scheme::parse(scheme) && requireBuilt(*Scheme::parse(scheme)))
                QTest::newRow(scheme) << QByteArray(scheme);
    }

    void searchesServeWhatMatters()
    {
        QFETCH(const QByteArray, scheme);
        const SyntheticTensor whole(40, 512, llmWeights(40, 512, 3));
        const auto importance = someImportance(512, 4);
        const auto with = measured(weighed(whole.tensor(), importance), scheme);
        const auto without = measured(whole.tensor(), scheme);
        QVERIFY(weighedError(with, importance) < weighedError(without, importance));
        QVERIFY(with.importance != 0);
        QCOMPARE(without.importance, std::uint64_t(0));
    }

    void someSchemesHaveNothingToWeigh_data()
    {
        QTest::addColumn<QByteArray>("scheme");
        for (const auto* scheme : {"int8", "int4:g32", "int4:tensor:mse", "q8_0", "fp16", "nf4", "int4:g32:asymf+hqq",
                 "int4:g32:mse+hadamard", "q4_k+cle"})
            QTest::newRow(scheme) << QByteArray(scheme);
    }

    void someSchemesHaveNothingToWeigh()
    {
        QFETCH(const QByteArray, scheme);
        const SyntheticTensor whole(16, 512, llmWeights(16, 512, 5));
        const auto tensor = weighed(whole.tensor(), someImportance(512, 6));
        QVERIFY(measured(tensor, scheme) == measured(whole.tensor(), scheme));
        QCOMPARE(importanceUsed(tensor, Scheme::parse(scheme.constData()).value()), std::uint64_t(0));
    }

    // A stack is as its matrices by themselves, each by its own importance; so are samples and inspections of it.
    void stacksAreWeighedMatrixByMatrix_data() { searchesServeWhatMatters_data(); }
    void stacksAreWeighedMatrixByMatrix()
    {
        QFETCH(const QByteArray, scheme);
        constexpr std::size_t rows = 13, columns = 512, experts = 3;
        const auto values = llmWeights(rows * experts, columns, 7);
        const auto importance = someImportance(columns * experts, 8);
        const SyntheticTensor whole(rows * experts, columns, values);
        auto stack = weighed(whole.tensor(), importance, experts);
        stack.view.shape = {experts, rows, columns};
        const auto together = measured(stack, scheme);
        for (std::size_t expert = 0; expert < experts; ++expert) {
            const auto own = std::span(values).subspan(expert * rows * columns, rows * columns);
            const SyntheticTensor single(rows, columns, {own.begin(), own.end()});
            const auto part = std::span(importance).subspan(expert * columns, columns);
            const auto alone = measured(weighed(single.tensor(), {part.begin(), part.end()}), scheme);
            for (std::size_t row = 0; row < rows; ++row)
                QCOMPARE(together.rowErrorEnergy[expert * rows + row], alone.rowErrorEnergy[row]);
        }
        Progress progress;
        const auto parsed = Scheme::parse(scheme.constData()).value();
        const auto inspection = inspectLayer(stack, weightsOf(stack), parsed, {}, progress);
        QVERIFY(inspection);
        QVERIFY(inspection->measurement.error == together.error);
        QCOMPARE(inspection->measurement.importance, together.importance);
    }

    void samplesAreWeighedAsTheWhole()
    {
        constexpr std::size_t rows = 2048, columns = 512, experts = 2;
        const SyntheticTensor whole(rows, columns, llmWeights(rows, columns, 9));
        auto stack = weighed(whole.tensor(), someImportance(columns * experts, 10), experts);
        stack.view.shape = {experts, rows / experts, columns};
        const auto scheme = Scheme::parse("int3:g64:mse").value();
        const auto sample = inspectSample(stack, weightsOf(stack), scheme, {});
        QVERIFY(sample && *sample);
        const auto all = measured(stack, "int3:g64:mse");
        double expected = 0.0;
        for (const auto row : spreadRows(matrixShape(stack.view), 1, (*sample)->rows * columns))
            expected += double(all.rowErrorEnergy[std::size_t(row)]);
        const double seen = (*sample)->inspection.measurement.error.errorEnergy;
        QVERIFY(std::abs(seen / expected - 1.0) < 1e-5);
    }
};

QTEST_APPLESS_MAIN(TestImportance)
#include "tst_importance.moc"
