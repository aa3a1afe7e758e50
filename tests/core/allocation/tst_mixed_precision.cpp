// SPDX-License-Identifier: GPL-3.0-or-later
// Mixed precision on a real model, measured: against the best uniform scheme of the same size, and against what the
// exact allocation of the golden set reached on the same tokens.
#include "core/allocation/verify.h"
#include "core/analysis/plan_divergence.h"
#include "core/analysis/quantized_weights.h"
#include "core/file_formats/file_format.h"
#include "tests/support/golden_layers.h"
#include "tests/support/golden_tokens.h"
#include "tests/support/text_windows.h"

#include <QTest>

#include <algorithm>
#include <cmath>
#include <map>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

constexpr int kBits[] = {2, 3, 4, 8};

/// Plain rounding in groups of 32; the rows of down projections, 172 long, in groups of 43.
Scheme schemeOf(int bits, bool down)
{
    return Scheme::parse("int" + std::to_string(bits) + (down ? ":g43" : ":g32") + ":asym:s32").value();
}

}  // namespace

class TestMixedPrecision : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void initTestCase()
    {
        const auto path = corpus() / "llm" / "stories260K" / "hf";
        QUANTLOUPE_NEED(path);
        QUANTLOUPE_NEED(golden() / "results");
        m_model = openModel(path).value();
        m_decoder = describeDecoder(*m_model).value();
        m_text = windowsOf(goldenTokens("tok_eval"));
        const auto results = golden() / "results";
        m_expected = nlohmann::json::parse(contentOf(results / "mixed_precision.json")).at("rtn_asym|32");
        const auto single = nlohmann::json::parse(contentOf(results / "sensitivity_single_layer.json"));
        m_study.model = catalogOf(*m_model);
        std::map<std::string, TensorMeasurement> measurements;
        for (const int bits : kBits)
            for (const auto& [layer, values] : single.at("rtn_asym|32|" + std::to_string(bits)).items()) {
                const auto name = goldenTensor(layer);
                auto& measurement = measurements[name];
                measurement.tensor = name;
                SchemeMeasurement measured;
                measured.scheme = schemeOf(bits, layer.ends_with("w2"));
                measured.error.count = 1;  // was measured; what the errors are does not count here
                measured.error.signalEnergy = 1.0;
                measured.divergence = {
                    .mean = values.at(0), .standardError = 0.0, .predictions = m_text.scored(), .text = 1};
                measurement.schemes.push_back(std::move(measured));
            }
        QCOMPARE(measurements.size(), std::size_t(35));
        for (const auto& [name, measurement] : measurements)
            m_study.add(measurement);
        Progress& progress = m_progress;
        auto divergence = PlanDivergence::begin(*m_decoder, m_text, 64, {}, {}, progress);
        QVERIFY2(divergence, divergence ? "" : describe(divergence.error()).c_str());
        m_divergence.emplace(std::move(*divergence));
    }

    /// Whole plans one after another, as evaluate() has them.
    void figuresAreThoseOfEvaluate()
    {
        QVERIFY(m_divergence);
        const auto plan = uniform(4);
        const auto found = m_divergence->measure(plan);
        QVERIFY2(found, found ? "" : describe(found.error()).c_str());
        const auto hook = quantizedWeights(*m_model, plan, {}).value();
        Progress progress;
        const auto whole = evaluate(*m_decoder, m_text, {.weights = hook}, {}, {}, progress).value();
        QCOMPARE(found->divergence, *whole.divergence);
        const double golden = m_expected.at("uniform4").at("kl");
        QVERIFY(std::abs(found->divergence.mean / golden - 1.0) < 0.01);
    }

    void beatsUniformSchemes_data()
    {
        QTest::addColumn<double>("bits");
        for (const double bits : {3.0, 3.5, 4.0, 5.0})
            QTest::addRow("%.1f bits", bits) << bits;
    }

    /// By as much as the golden set's allocation does, within 5 %; each tensor by itself, as there.
    void beatsUniformSchemes()
    {
        QFETCH(double, bits);
        QVERIFY(m_divergence);
        const auto found = frontier(m_study, {}, kept(), ErrorMetric::MeasuredKl, Fused::Apart).value();
        // The uniform sizes around, and between them.
        const int below = std::min(int(bits), 4), above = below + 1 > 4 ? 8 : below + 1;
        const double low = double(uniform(below).bytes), high = double(uniform(above).bytes);
        const AllocationLimit limit {.value = low + (bits - below) / (above - below) * (high - low)};
        const auto allocation = allocateWithin(found, m_study, limit).value();
        const auto verified = verifyAllocation(found, m_study, limit, allocation,
            {.evaluations = 6, .onlyWhereItMatters = false}, [&](const std::vector<std::uint32_t>& choice) {
                return measured(resolve(recipeOf(found.groups, choice, m_study, base()), m_study.model));
            });
        QVERIFY2(verified, verified ? "" : describe(verified.error()).c_str());
        const auto& best = verified->tried[verified->best];
        const double rival = measured(uniform(below))->value;
        const auto number = QString::number(bits).toStdString();
        const double golden = m_expected.at(number + "|KL").at("kl"),
                     goldenRival = m_expected.at("uniform" + std::to_string(below)).at("kl");
        qInfo("sum %.4f, measured %.4f, after %zu recipes %.4f; uniform %.4f; golden %.4f against %.4f",
            allocation.point.error, verified->tried.front().measured.value, verified->tried.size(), best.measured.value,
            rival, golden, goldenRival);
        QVERIFY(double(best.predicted.bytes) <= limit.value);
        QVERIFY(best.measured.value <= rival);
        QVERIFY(rival / best.measured.value >= 0.95 * goldenRival / golden);
    }

private:
    static std::vector<std::string> kept() { return {"*norm*", "*embed*", "lm_head.weight"}; }

    Recipe base() const
    {
        auto recipe = Recipe::uniform({}, m_study.model);
        recipe.keep = kept();
        return recipe;
    }

    Plan uniform(int bits) const
    {
        auto recipe = base();
        recipe.defaultPlan.weights = schemeOf(bits, false);
        recipe.rules = {{"*down_proj.weight", {schemeOf(bits, true), std::nullopt}}};
        return resolve(recipe, m_study.model);
    }

    Result<MeasuredError> measured(const Plan& plan)
    {
        return m_divergence->measure(plan).map([](const VariantDivergence& found) {
            return MeasuredError {found.divergence.mean, found.standardError};
        });
    }

    ModelPointer m_model;
    std::optional<Decoder> m_decoder;
    WindowedText m_text;
    StudySnapshot m_study;
    nlohmann::json m_expected;
    Progress m_progress;
    std::optional<PlanDivergence> m_divergence;
};

QTEST_APPLESS_MAIN(TestMixedPrecision)
#include "tst_mixed_precision.moc"
