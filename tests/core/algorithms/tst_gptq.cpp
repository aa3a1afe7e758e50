// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/algorithms/gptq.h"
#include "core/algorithms/grid_choice.h"
#include "tests/core/algorithms/golden_inputs.h"

#include <QTest>

#include <tbb/global_control.h>
#include <tbb/task_arena.h>

#include <numeric>
#include <regex>

using namespace quantloupe;

namespace {

Quantizer quantizerOf(const std::string& scheme, std::size_t columns)
{
    return Quantizer::create(*Scheme::parse(scheme), columns).value();
}

std::vector<float> decoded(const Quantizer& quantizer, const RoundedLayer& layer)
{
    std::vector<float> out(layer.codes.size());
    quantizer.decode(layer.codes, layer.codes.size() / quantizer.columns(), layer.grids, out);
    return out;
}

Result<RoundedLayer> rounded(const Quantizer& quantizer, std::span<const float> weights, const LayerInputs& inputs,
    const FactorOptions& options, bool fixedGrids)
{
    const std::size_t rows = weights.size() / quantizer.columns();
    const auto factor = inverseFactor(inputs, options, {});
    if (!factor)
        return tl::unexpected(factor.error());
    return roundByGptq(quantizer, weights, rows,
        fixedGrids ? chooseGrids(quantizer, weights, rows, {}) : std::vector<UnitGrid> {}, *factor, {});
}

/// Half of tr(E·(H + damping)·Eᵀ), straight from the definition.
double lossOf(std::span<const float> weights, std::span<const float> quantized, const LayerInputs& inputs, double share)
{
    const std::size_t n = inputs.columns;
    double mean = 0.0, sum = 0.0;
    for (std::size_t i = 0; i < n; ++i)
        mean += inputs.secondMoments[i * n + i] / double(n);
    for (std::size_t row = 0; row < weights.size(); row += n)
        for (std::size_t i = 0; i < n; ++i) {
            const double e = double(weights[row + i]) - double(quantized[row + i]);
            double moved = share * mean * e;
            for (std::size_t j = 0; j < n; ++j)
                moved += inputs.secondMoments[i * n + j] * (double(weights[row + j]) - double(quantized[row + j]));
            sum += e * moved;
        }
    return 0.5 * sum;
}

/// GPTQ in double, one column at a time, by elimination instead of any factor: what is known of the columns not yet
/// rounded is the inverse of their part of H, from which a rounded column is removed.
std::vector<std::uint32_t> plainGptq(const Quantizer& quantizer, std::span<const float> weights,
    const LayerInputs& inputs, const std::vector<std::uint32_t>& order, std::span<const UnitGrid> grids)
{
    const std::size_t n = inputs.columns, rows = weights.size() / n;
    std::vector<double> a(n * n), inverse(n * n, 0.0);
    double mean = 0.0;
    for (std::size_t i = 0; i < n; ++i)
        mean += inputs.secondMoments[i * n + i] / double(n);
    for (std::size_t i = 0; i < n; ++i)
        for (std::size_t j = 0; j < n; ++j)
            a[i * n + j] = inputs.secondMoments[order[i] * n + order[j]] + (i == j ? 0.01 * mean : 0.0);
    for (std::size_t i = 0; i < n; ++i)
        inverse[i * n + i] = 1.0;
    for (std::size_t k = 0; k < n; ++k) {  // Gauss and Jordan
        const double pivot = a[k * n + k];
        for (std::size_t j = 0; j < n; ++j) {
            a[k * n + j] /= pivot;
            inverse[k * n + j] /= pivot;
        }
        for (std::size_t i = 0; i < n; ++i) {
            const double factor = a[i * n + k];
            if (i == k || factor == 0.0)
                continue;
            for (std::size_t j = 0; j < n; ++j) {
                a[i * n + j] -= factor * a[k * n + j];
                inverse[i * n + j] -= factor * inverse[k * n + j];
            }
        }
    }
    std::vector<double> w(weights.begin(), weights.end());
    std::vector<std::uint32_t> codes(weights.size());
    const std::size_t units = quantizer.unitsPerRow(), length = quantizer.unitLength();
    for (std::size_t p = 0; p < n; ++p) {
        const std::size_t column = order[p];
        for (std::size_t r = 0; r < rows; ++r) {
            const UnitGrid& grid = grids[r * units + column / length];
            double& weight = w[r * n + column];
            const double code = std::clamp(std::nearbyint(weight / double(grid.scale)) + double(grid.zero), 0.0,
                double(quantizer.codeCount() - 1));
            codes[r * n + column] = std::uint32_t(code);
            const double error = (weight - double(grid.scale) * (code - double(grid.zero))) / inverse[p * n + p];
            for (std::size_t q = p + 1; q < n; ++q)
                w[r * n + order[q]] -= error * inverse[p * n + q];
        }
        for (std::size_t i = p + 1; i < n; ++i)
            for (std::size_t j = p + 1; j < n; ++j)
                inverse[i * n + j] -= inverse[i * n + p] * inverse[p * n + j] / inverse[p * n + p];
    }
    return codes;
}

std::size_t differences(std::span<const std::uint32_t> a, std::span<const std::uint32_t> b)
{
    std::size_t count = 0;
    for (std::size_t i = 0; i < a.size(); ++i)
        count += a[i] != b[i] ? 1U : 0U;
    return count;
}

}  // namespace

class TestGptq : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void golden_data()
    {
        m_golden.emplace("gptq_");
        if (!m_golden->entries.empty())
            m_inputs = tests::goldenInputs();
        QVERIFY(m_golden->addRows(126));
    }
    void golden()
    {
        QFETCH(const int, index);
        if (index < 0)
            QSKIP("not present: set QUANTLOUPE_GOLDEN");
        const auto& entry = m_golden->entries[std::size_t(index)];
        const std::string method = entry.at("method"), name = entry.at("case");
        const tests::GoldenLayer& layer = m_golden->layers.at(name);
        const tests::GoldenInputs& inputs = m_inputs.at(name);
        std::smatch parts;
        static const std::regex pattern("gptq_(asym|sym)(_act)?(_mse)?(_static)?_(channel|[0-9]+)_b([0-9])");
        QVERIFY(std::regex_match(method, parts, pattern));
        const bool symmetric = parts[1] == "sym", act = parts[2].matched;
        const bool channel = parts[5] == "channel";
        const std::string scheme = "int" + parts[6].str() + (channel ? ":channel" : ":g" + parts[5].str())
            + (symmetric ? ":symf" : ":asym") + (parts[3].matched ? ":mse" : "") + ":s32";
        const Quantizer quantizer = quantizerOf(scheme, layer.columns);
        const auto result = rounded(quantizer, layer.weights, inputs.calibration, {.damping = 0.01, .byActivity = act},
            channel || parts[4].matched);
        QVERIFY2(result, result ? "" : describe(result.error()).c_str());

        const auto expected = m_golden->stored<std::uint8_t>(entry, "codes");
        const std::vector<std::uint32_t> expectedCodes(expected.begin(), expected.end());
        const std::size_t different = differences(std::span(result->codes).first(expectedCodes.size()), expectedCodes);
        const auto out = decoded(quantizer, *result);
        const double error = relativeOutputError(layer.weights, out, inputs.calibration);
        const auto& metrics = entry.at("metrics");
        const double rise = error / metrics.at("orel_calib").get<double>() - 1.0;
        // Losses of the original are by H of its own scale: 2/n, n its number of sequences.
        const double loss = result->loss * (name == "syn512" ? 2.0 : 0.125);
        const double lossRise = loss / entry.at("gptq_loss").get<double>() - 1.0;
        const double share = double(different) / double(expectedCodes.size());
        const bool reproduced = share <= (symmetric ? 0.015 : 0.001) && std::abs(lossRise) <= 1e-3;
        double evaluationRise = 0.0;
        if (!inputs.evaluation.secondMoments.empty())
            evaluationRise =
                relativeOutputError(layer.weights, out, inputs.evaluation) / metrics.at("orel_eval").get<double>()
                - 1.0;
        const bool beaten = rise < 0.0 && evaluationRise < 0.02;
        qInfo("%zu of %zu codes differ, loss off by %.1e, output error by %.1e (held out %.1e)%s", different,
            expectedCodes.size(), lossRise, rise, evaluationRise, different == 0 ? ": the same" : "");
        m_same += different == 0 ? 1 : 0;
        m_reproduced += reproduced ? 1 : 0;
        m_beaten += !reproduced && beaten ? 1 : 0;
        ++m_all;
        // The loss is what it says it is.
        if (name != "syn512")
            QVERIFY(std::abs(result->loss / lossOf(layer.weights, out, inputs.calibration, 0.01) - 1.0) < 1e-4);
        QVERIFY(reproduced || beaten);
    }

    void cleanupTestCase()
    {
        if (m_all > 0)
            qInfo("of %d golden vectors %d have every code, %d are within tolerance, %d more are better", m_all, m_same,
                m_reproduced, m_beaten);
    }

    void plainReference_data()
    {
        QTest::addColumn<int>("columns");
        QTest::addColumn<bool>("byActivity");
        for (const int columns : {37, 130, 300})
            for (const bool byActivity : {false, true})
                QTest::addRow("%d columns%s", columns, byActivity ? ", by activity" : "") << columns << byActivity;
    }
    void plainReference()
    {
        QFETCH(const int, columns);
        QFETCH(const bool, byActivity);
        const tests::MadeUpLayer layer {20, std::size_t(columns)};
        const Quantizer quantizer = quantizerOf("int4:g32:asym:s32", layer.columns);
        const auto result = rounded(quantizer, layer.weights, layer.inputs, {.byActivity = byActivity}, true);
        QVERIFY(result);
        const auto factor = inverseFactor(layer.inputs, {.byActivity = byActivity}, {});
        const auto codes = plainGptq(quantizer, layer.weights, layer.inputs, factor->order, result->grids);
        const std::size_t different = differences(result->codes, codes);
        qInfo("%zu of %zu codes differ", different, codes.size());
        QVERIFY(different * 1000 <= codes.size());
    }

private:
    std::optional<tests::GoldenSet> m_golden;
    std::map<std::string, tests::GoldenInputs> m_inputs;
    int m_all = 0, m_same = 0, m_reproduced = 0, m_beaten = 0;
};

QTEST_APPLESS_MAIN(TestGptq)
#include "tst_gptq.moc"
