// SPDX-License-Identifier: GPL-3.0-or-later
// Layers whose trouble is built in, and what is said of them; and cures that go by the layer's inputs.
#include "core/algorithms/combinations.h"
#include "core/analysis/analyze.h"
#include "core/analysis/cures.h"
#include "core/analysis/error_causes.h"
#include "tests/core/algorithms/golden_inputs.h"
#include "tests/core/analysis/synthetic_tensor.h"

#include <QTest>

#include <algorithm>
#include <cmath>
#include <memory>
#include <random>
#include <set>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

constexpr std::size_t kRows = 200, kColumns = 128;

std::vector<float> normalWeights(unsigned seed)
{
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0.0F, 0.02F);
    std::vector<float> values(kRows * kColumns);
    for (auto& value : values)
        value = normal(random);
    return values;
}

struct Explained {
    ErrorCauses causes;
    LayerInspection inspection;
};

Explained explain(const ModelTensor& tensor, const char* scheme, const InputFigures* inputs = nullptr)
{
    Progress progress;
    const auto weights = measureWeights(tensor, {}, progress).value();
    auto inspection = inspectLayer(tensor, weights, Scheme::parse(scheme).value(), {}, progress).value();
    auto causes = causesOf(inspection, weights, inputs);
    return {std::move(causes), std::move(inspection)};
}

bool says(const ErrorCauses& causes, const char* words)
{
    const auto sentences = causes.sentences();
    return std::any_of(sentences.begin(), sentences.end(),
        [&](const std::string& sentence) { return sentence.find(words) != std::string::npos; });
}

/// Tokens of which the channels in `loud` are thirty times as large.
std::vector<float> activations(std::size_t tokens, const std::vector<std::size_t>& loud)
{
    std::mt19937 random(5);
    std::normal_distribution<float> normal;
    std::vector<float> values(tokens * kColumns);
    for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] = normal(random);
        if (std::find(loud.begin(), loud.end(), i % kColumns) != loud.end())
            values[i] *= 30.0F;
    }
    return values;
}

}  // namespace

class TestErrorCauses : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void evenErrorsAreRounding()
    {
        const SyntheticTensor tensor(kRows, kColumns, normalWeights(1));
        const auto [causes, inspection] = explain(tensor.tensor(), "int4:g32");
        QCOMPARE(causes.sentences().size(), std::size_t(1));
        QVERIFY(says(causes, "evenly"));
        QCOMPARE(causes.clipping.value(), 0.0);
        QVERIFY(!causes.activations);
    }

    /// Floats round in proportion: the error of one column of large weights is large.
    void columnsWithOutlierWeights()
    {
        auto values = normalWeights(2);
        for (std::size_t row = 0; row < kRows; ++row)
            values[row * kColumns + 17] *= 40.0F;
        const SyntheticTensor tensor(kRows, kColumns, values);
        const auto [causes, inspection] = explain(tensor.tensor(), "fp8_e4m3:tensor");
        QCOMPARE(causes.weightColumns.channels, std::size_t(1));
        QCOMPARE(causes.weightColumns.of, kColumns);
        // The same share, counted here.
        const auto& columns = inspection.measurement.columnErrorEnergy;
        double all = 0.0;
        for (const float energy : columns)
            all += double(energy);
        QVERIFY(std::abs(causes.weightColumns.share - double(columns[17]) / all) < 1e-9);
        QVERIFY(causes.weightColumns.share > 0.5);
        QVERIFY(says(causes, "1 of 128 input channels with outlier weights carries"));
    }

    void cutRangesClip()
    {
        const SyntheticTensor tensor(kRows, kColumns, normalWeights(3));
        const auto [causes, inspection] = explain(tensor.tensor(), "int8:channel:p80");
        QVERIFY(causes.clipping.value() > 0.9);
        QVERIFY(says(causes, "clipping"));
        const auto& split = inspection.split.value();
        QCOMPARE(causes.clipping.value(), split.clipping / (split.rounding + split.clipping));
    }

    /// Of what reaches the outputs a channel counts by the size of its activations.
    void loudActivations()
    {
        const SyntheticTensor tensor(kRows, kColumns, normalWeights(4));
        const auto seen = activations(64, {5, 90});
        InputFigures figures;
        figures.inputs = ChannelSums::ofInputs(kColumns);
        figures.inputs.add({seen.data(), 64, kColumns, kColumns});
        const auto [causes, inspection] = explain(tensor.tensor(), "int4:g32", &figures);
        QVERIFY(causes.activations);
        QCOMPARE(causes.activations->channels, std::size_t(2));
        double part = 0.0, all = 0.0;
        for (std::size_t j = 0; j < kColumns; ++j) {
            double squares = 0.0;
            for (std::size_t t = 0; t < 64; ++t)
                squares += double(seen[t * kColumns + j]) * double(seen[t * kColumns + j]);
            const double reaching = double(inspection.measurement.columnErrorEnergy[j]) * squares;
            all += reaching;
            part += j == 5 || j == 90 ? reaching : 0.0;
        }
        QVERIFY(std::abs(causes.activations->share - part / all) < 1e-6);
        QVERIFY(says(causes, "2 of 128 input channels with outlier activations carry"));
        // Figures of another layer are none of this one.
        InputFigures others;
        others.inputs = ChannelSums::ofInputs(7);
        QVERIFY(!causesOf(inspection, WeightStatistics {}, &others).activations);
    }

    /// Where inputs are known, cures are judged by outputs, and those that go by inputs are among them.
    void curesByInputs()
    {
        const SyntheticTensor synthetic(kRows, kColumns, normalWeights(6));
        const auto seen = std::make_shared<const LayerInputs>(inputsOf(activations(256, {5, 90}), kColumns));
        auto tensor = synthetic.tensor();
        tensor.inputs = std::make_shared<const KnownInputs>(KnownInputs {.fingerprint = 3,
            .slices = 1,
            .load = [seen](std::uint64_t, const std::stop_token&) -> Result<std::shared_ptr<const LayerInputs>> {
                return seen;
            }});
        Progress progress;
        const auto weights = measureWeights(tensor, {}, progress).value();
        const auto scheme = Scheme::parse("int3:g32:asym").value();
        const auto cures = tryCures(tensor, weights, scheme, nullptr, {}, progress);
        QVERIFY2(cures, cures ? "" : describe(cures.error()).c_str());
        std::set<std::string> byInputs;
        bool mixtures = false;
        double before = INFINITY;
        for (const auto& cure : *cures) {
            mixtures = mixtures || cure.isMixture();
            QCOMPARE(cure.outputs.has_value(), !cure.isMixture());
            if (cure.kind == CureKind::InputAware)
                byInputs.insert(cure.scheme.toString());
            if (!cure.outputs)
                continue;
            // As an analysis of the scheme has it.
            const auto measured = measureSchemes(tensor, weights, {&cure.scheme, 1}, {}, progress).value().front();
            QVERIFY(std::abs(cure.outputs->after + 10.0 * std::log10(measured.outputError.relative())) < 1e-9);
            // Free gains first, by gain.
            if (cure.gain() > 0.0 && cure.bytesAfter <= cure.bytesBefore) {
                QVERIFY(cure.gain() <= before);
                before = cure.gain();
            }
        }
        QVERIFY(mixtures);
        QVERIFY(byInputs.contains("int3:g32:asym+gptq"));
        QVERIFY(byInputs.contains("int3:g32:asym+awq"));
        QVERIFY2(byInputs.size() >= 3, std::to_string(byInputs.size()).c_str());
        // Loud channels: rounding by them gains at the outputs, whatever the weights lose.
        const auto gptq = std::find_if(cures->begin(), cures->end(),
            [](const Cure& cure) { return cure.scheme.toString() == "int3:g32:asym+gptq"; });
        QVERIFY(gptq->gain() > 1.0);
        QVERIFY(gptq->sqnrAfter < gptq->sqnrBefore);
        QVERIFY(gptq->sentence().find("at the outputs") != std::string::npos);
        // Without inputs there is none of it.
        const auto plain = tryCures(synthetic.tensor(), weights, scheme, nullptr, {}, progress).value();
        for (const auto& cure : plain)
            QVERIFY(!cure.outputs && cure.kind != CureKind::InputAware);
    }
};

QTEST_APPLESS_MAIN(TestErrorCauses)
#include "tst_error_causes.moc"
