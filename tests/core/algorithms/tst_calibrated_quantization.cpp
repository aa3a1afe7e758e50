// SPDX-License-Identifier: GPL-3.0-or-later
// The laws of quantizeWithInputs(): codes, packing, threads, stops and errors.
#include "core/algorithms/awq.h"
#include "core/algorithms/calibrated_quantization.h"
#include "core/algorithms/smooth_quant.h"
#include "core/number_formats/packed_matrix.h"
#include "tests/core/algorithms/golden_inputs.h"

#include <QTest>

#include <tbb/task_arena.h>

#include <limits>

using namespace quantloupe;

namespace {

Result<CalibratedWeights> quantized(const tests::MadeUpLayer& layer, const std::string& scheme,
    const CalibrationOptions& options = {}, std::stop_token stop = {})
{
    Progress progress;
    return quantizeWithInputs(layer.weights, layer.rows, *Scheme::parse(scheme), layer.inputs, options, std::move(stop),
        {progress, 4 * layer.weights.size()});
}

constexpr const char* kSchemes[] {"int4:g32:asym:s32+gptq", "int3:channel:sym+gptq", "int4:g48:symf:mse+gptq",
    "int8:tensor+gptq", "int4:b32x32+gptq", "int4:g32:s8+gptq", "nf4:g64+gptq", "fp8_e4m3:channel+gptq", "mxfp4+gptq",
    "nvfp4+gptq", "ternary+gptq", "pot4:g32+gptq", "int3:g32:asymf+cd", "int3:g32:asym:s32+cd", "int4:channel+cd",
    "int2:g32:asymf+hqq+gptq", "int4:g32:asym+awq", "int4:g32:asymf+awq+cd", "int4:g32:asym+awq+gptq", "int8+smooth",
    "int4:g32:asym+hadamard+gptq+biascorr", "int8+smooth+hadamard", "int3:g32:asym+adaround", "q4_0+imatrix",
    "lut3:g32+imatrix", "q4_0+smooth", "int4:g32:asym:mse+imatrix"};

}  // namespace

class TestCalibratedQuantization : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void laws_data()
    {
        QTest::addColumn<QString>("scheme");
        for (const char* scheme : kSchemes)
            QTest::newRow(scheme) << QString(scheme);
    }

    // Codes are those of the grids, Ŵ is what they stand for, and a packed matrix holds the same.
    void laws()
    {
        QFETCH(const QString, scheme);
        const tests::MadeUpLayer layer {96, 160};
        CalibrationOptions options;
        options.adaRound.iterations = 40;
        Progress progress;
        const auto result = quantizeWithInputs(layer.weights, layer.rows, *Scheme::parse(scheme.toStdString()),
            layer.inputs, options, {}, {progress, 4 * layer.weights.size()});
        QVERIFY2(result, result ? "" : describe(result.error()).c_str());
        QCOMPARE(progress.doneBytes.load(), std::uint64_t(4 * layer.weights.size()));
        QCOMPARE(result->codes.size(), layer.weights.size());
        const Quantizer& quantizer = result->quantizer;
        std::vector<float> decoded(layer.weights.size());
        if (quantizer.hasGrids()) {
            quantizer.decode(result->codes, layer.rows, result->grids, decoded);
            const auto bytes = packMatrix(quantizer, decoded, layer.rows, result->grids);
            const auto unpacked = unpackMatrix(quantizer, bytes, layer.rows);
            std::vector<float> stored(decoded.size());
            quantizer.decode(result->codes, layer.rows, storedGrids(quantizer.scheme(), result->grids), stored);
            QVERIFY(unpacked == stored);
            std::vector<std::uint32_t> again(result->codes.size());
            quantizer.encode(decoded, layer.rows, result->grids, again);
            std::vector<float> twice(decoded.size());
            quantizer.decode(again, layer.rows, result->grids, twice);
            QVERIFY(twice == decoded);
        } else {
            quantizer.unpack(result->packed, layer.rows, decoded);
        }
        TransformScratch scratch;
        result->transform.undo(decoded, 0, layer.columns, scratch);
        QVERIFY(decoded == result->weights);
        for (const float weight : result->weights)
            QVERIFY(std::isfinite(weight));
        QCOMPARE(result->bias.empty(), !scheme.contains("biascorr"));
        // What the algorithms are for: less of the output is lost than by rounding to nearest on the same format.
        const std::string plain = scheme.section('+', 0, 0).toStdString();
        Scheme nearest = *Scheme::parse(plain);
        const Quantizer rounding = Quantizer::create(nearest, layer.columns).value();
        if (!scheme.contains("imatrix") && !scheme.startsWith("q4_0") && !rounding.needsTensorAbsMax()
            && !rounding.wholeTensor() && !scheme.contains("s8") && !scheme.startsWith("int8")
            && !scheme.contains("adaround")) {
            std::vector<UnitGrid> grids(rounding.gridCount(layer.rows));
            rounding.fit(layer.weights, layer.rows, grids);
            rounding.fakeQuantize(layer.weights, layer.rows, grids, decoded);
            const double before = relativeOutputError(layer.weights, decoded, layer.inputs);
            const double after = relativeOutputError(layer.weights, result->weights, layer.inputs);
            qInfo("output error %.3g, to nearest %.3g", after, before);
            QVERIFY(after < before);
        }
    }

    void sameBitsForAnyNumberOfThreads()
    {
        const tests::MadeUpLayer layer {300, 272};
        CalibrationOptions moving;
        moving.staticGroups = moving.factor.byActivity = false;
        moving.adaRound.iterations = 10;
        for (const char* scheme : {"int4:g32:asym+gptq", "int3:g32:asymf+cd", "int4:g32:asym+awq",
                 "int4:g32:asym+adaround", "int4:g32:asym+hadamard+gptq"}) {
            std::vector<CalibratedWeights> results;
            for (const int threads : {1, 3, 8})
                tbb::task_arena(threads).execute([&] { results.push_back(quantized(layer, scheme, moving).value()); });
            for (const auto& result : results) {
                QVERIFY(result.codes == results.front().codes);
                QVERIFY(result.grids == results.front().grids);
                QVERIFY(result.weights == results.front().weights);
            }
        }
    }

    // By the damped moments, which are what it goes by.
    void coordinateDescentNeverRaisesTheError()
    {
        const tests::MadeUpLayer layer {64, 192};
        LayerInputs damped = layer.inputs;
        double mean = 0.0;
        for (std::size_t i = 0; i < 192; ++i)
            mean += layer.inputs.secondMoments[i * 192 + i] / 192.0;
        for (std::size_t i = 0; i < 192; ++i)
            damped.secondMoments[i * 192 + i] += 0.01 * mean;
        for (const char* scheme : {"int4:g32:asymf", "int3:channel:asym", "int2:g64"}) {
            const Quantizer quantizer = Quantizer::create(*Scheme::parse(scheme), layer.columns).value();
            const auto found = quantized(layer, std::string(scheme) + "+cd");
            QVERIFY(found);
            const auto factor = inverseFactor(layer.inputs, {}, {});
            const auto before = roundByGptq(quantizer, layer.weights, layer.rows, found->grids, *factor, {});
            QVERIFY(before);
            std::vector<float> weights(layer.weights.size());
            quantizer.decode(before->codes, layer.rows, before->grids, weights);
            const double first = relativeOutputError(layer.weights, weights, damped);
            const double last = relativeOutputError(layer.weights, found->weights, damped);
            qInfo("%s: %.5g by gptq, %.5g after descent", scheme, first, last);
            QVERIFY(last < first);
        }
    }

    // The moments of the whole sample say the same as the sample.
    void awqByMoments()
    {
        const tests::MadeUpLayer layer {48, 96};
        const Quantizer quantizer = Quantizer::create(*Scheme::parse("int4:g32:asym:s32"), layer.columns).value();
        LayerInputs moments = layer.inputs;
        moments.sample.clear();
        const auto bySample = searchAwqScales(quantizer, layer.weights, layer.rows, layer.inputs, {});
        const auto byMoments = searchAwqScales(quantizer, layer.weights, layer.rows, moments, {});
        QVERIFY(bySample && byMoments);
        QCOMPARE(byMoments->ratio, bySample->ratio);
        QVERIFY(byMoments->ratio > 0.0);
        for (std::size_t i = 0; i < awqRatios; ++i)
            QVERIFY(std::abs(byMoments->losses[i] / bySample->losses[i] - 1.0) < 1e-4);
        const auto first = searchClippedGrids(quantizer, layer.weights, layer.rows, layer.inputs, {});
        const auto second = searchClippedGrids(quantizer, layer.weights, layer.rows, moments, {});
        std::size_t different = 0;
        for (std::size_t i = 0; i < first.limits.size(); ++i)
            different += first.limits[i] != second.limits[i] ? 1U : 0U;
        QVERIFY(different * 20 <= first.limits.size());
    }

    // The loss of every α, worked out plainly for one of them; the best is chosen.
    void smoothingSearch()
    {
        const tests::MadeUpLayer layer {24, 64};
        const Quantizer weightQuantizer = Quantizer::create(*Scheme::parse("int8"), 64).value();
        const auto rounding = [&](std::span<const float>) -> Result<InputRounding> {
            return InputRounding([&](std::span<float> rows) {
                std::vector<UnitGrid> grids(rows.size() / 64);
                weightQuantizer.fit(rows, grids.size(), grids);
                const std::vector<float> before(rows.begin(), rows.end());
                weightQuantizer.fakeQuantize(before, grids.size(), grids, rows);
            });
        };
        SmoothedLayer smoothed {.weights = layer.weights,
            .rowCount = layer.rows,
            .quantizer = &weightQuantizer,
            .inputs = &layer.inputs,
            .rounding = rounding};
        const auto search = searchSmoothing({&smoothed, 1}, {});
        QVERIFY(search);
        QCOMPARE(search->losses.size(), std::size_t(21));
        const auto best = std::min_element(search->losses.begin(), search->losses.end());
        QCOMPARE(search->alpha, double(best - search->losses.begin()) / 20.0);
        QVERIFY(*best < 0.5 * search->losses.front() && *best < search->losses.back());
        const auto scales = smoothingScales(layer.weights, layer.inputs.absMax, 0.5);
        auto weights = layer.weights, inputs = layer.inputs.sample;
        for (std::size_t i = 0; i < weights.size(); ++i)
            weights[i] *= scales[i % 64];
        for (std::size_t i = 0; i < inputs.size(); ++i)
            inputs[i] /= scales[i % 64];
        for (auto* values : {&weights, &inputs})
            for (std::size_t row = 0; row < values->size(); row += 64) {
                float largest = 0.0F;
                for (std::size_t i = 0; i < 64; ++i)
                    largest = std::max(largest, std::abs((*values)[row + i]));
                for (std::size_t i = 0; i < 64; ++i)
                    (*values)[row + i] = std::nearbyint((*values)[row + i] / (largest / 127.0F)) * (largest / 127.0F);
            }
        double error = 0.0, output = 0.0;
        for (std::size_t t = 0; t < inputs.size(); t += 64)
            for (std::size_t r = 0; r < weights.size(); r += 64) {
                double wanted = 0.0, made = 0.0;
                for (std::size_t i = 0; i < 64; ++i) {
                    wanted += double(layer.inputs.sample[t + i]) * double(layer.weights[r + i]);
                    made += double(inputs[t + i]) * double(weights[r + i]);
                }
                error += (made - wanted) * (made - wanted);
                output += wanted * wanted;
            }
        QVERIFY(std::abs(search->losses[10] / (error / output) - 1.0) < 1e-3);
        LayerInputs bare = layer.inputs;
        bare.sample.clear();
        smoothed.inputs = &bare;
        QVERIFY(!searchSmoothing({&smoothed, 1}, {}));
    }

    void deadChannels()
    {
        tests::MadeUpLayer layer {40, 96};
        for (const std::size_t dead : {0U, 33U, 95U})
            for (std::size_t t = 0; t < layer.inputs.sampleTokens(); ++t)
                layer.inputs.sample[t * 96 + dead] = 0.0F;
        layer.inputs = tests::inputsOf(layer.inputs.sample, 96);
        for (const char* scheme : {"int4:g32:asym+gptq", "int3:channel:asymf+cd", "int4:g32:asym+awq",
                 "int4:g32:asym+adaround", "int8+smooth"}) {
            const auto result = quantized(layer, scheme);
            QVERIFY2(result, result ? "" : describe(result.error()).c_str());
            for (const float weight : result->weights)
                QVERIFY(std::isfinite(weight));
            if (std::string(scheme).find("gptq") != std::string::npos)
                for (std::size_t r = 0; r < 40; ++r)
                    QCOMPARE(result->weights[r * 96 + 33], 0.0F);
        }
        layer.inputs.secondMoments.assign(96 * 96, 0.0);
        QVERIFY(quantized(layer, "int4:g32:asym+gptq"));
    }

    void errors()
    {
        const tests::MadeUpLayer good {16, 64};
        const auto codeOf = [](const tests::MadeUpLayer& layer, const char* scheme) {
            const auto result = quantized(layer, scheme);
            if (result)
                return std::string();
            return result.error().reason;
        };
        const auto has = [](const std::string& reason, const char* part) {
            if (reason.find(part) == std::string::npos)
                qInfo("%s", reason.c_str());
            return reason.find(part) != std::string::npos;
        };
        QVERIFY(codeOf(good, "int4:g32+gptq").empty());
        QVERIFY(has(codeOf(good, "int4:g32+gptq+adaround"), "one of them"));

        auto layer = good;
        layer.weights[64 + 3] = std::nanf("");
        QVERIFY(has(codeOf(layer, "int4:g32+gptq"), "row 1, column 3 is not finite"));
        layer = good;
        layer.rows = 15;
        QVERIFY(has(codeOf(layer, "int4:g32+gptq"), "are not 15 rows of 64"));
        layer = good;
        layer.inputs.secondMoments[5] = std::nan("");
        QVERIFY(has(codeOf(layer, "int4:g32+gptq"), "channels 0 and 5"));
        layer = good;
        layer.inputs.secondMoments[65] = -1.0;
        QVERIFY(has(codeOf(layer, "int4:g32+gptq"), "channel 1 is not a number of 0 or more"));
        layer = good;
        layer.inputs.secondMoments.pop_back();
        QVERIFY(has(codeOf(layer, "int4:g32+gptq"), "not 64 × 64"));
        layer = good;
        layer.inputs.secondMoments.clear();
        QVERIFY(has(codeOf(layer, "int4:g32+cd"), "algorithm cd needs the second moments"));
        layer = good;
        layer.inputs.absMax.clear();
        QVERIFY(has(codeOf(layer, "int8+smooth"), "largest size"));
        layer = good;
        layer.inputs.mean.clear();
        QVERIFY(has(codeOf(layer, "int8+biascorr"), "means of the inputs"));
        layer = good;
        layer.inputs.sample.clear();
        QVERIFY(codeOf(layer, "int4:g32+awq").empty());
        layer.inputs.absMean.clear();
        QVERIFY(has(codeOf(layer, "int4:g32+awq"), "needs a sample"));
        // Correlations of more than one: no damping that is tried makes up for them.
        layer = good;
        for (std::size_t i = 0; i < 64; ++i)
            for (std::size_t j = 0; j < 64; ++j)
                layer.inputs.secondMoments[i * 64 + j] = i == j ? 1.0 : i / 2 == j / 2 ? 9.0 : 0.0;
        QVERIFY(has(codeOf(layer, "int4:g32+gptq"), "not positive definite"));
        // A singular matrix is fine: damping is what makes it definite.
        layer.inputs.secondMoments.assign(64 * 64, 1.0);
        QVERIFY(codeOf(layer, "int4:g32+gptq").empty());
    }

    void stops()
    {
        const tests::MadeUpLayer layer {300, 128};
        std::stop_source source;
        source.request_stop();
        for (const char* scheme :
            {"int4:g32+gptq", "int4:g32+cd", "int4:g32+awq", "int4:g32+adaround", "q4_0+imatrix"}) {
            const auto result = quantized(layer, scheme, {}, source.get_token());
            QVERIFY2(!result && result.error().code == ErrorCode::Cancelled, scheme);
        }
    }
};

QTEST_APPLESS_MAIN(TestCalibratedQuantization)
#include "tst_calibrated_quantization.moc"
