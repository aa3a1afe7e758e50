// SPDX-License-Identifier: GPL-3.0-or-later
// Every figure is worked out here a second time, from the dimensions of the model instead of its tensors.
#include "core/projection/step_latency.h"
#include "tests/support/model_catalogs.h"

#include <QTest>

#include <cmath>

using namespace quantloupe;

namespace {

/// 100 GB/s, half of it reached; 1 TFLOPS of FP16 at 80 %.
DeviceProfile device()
{
    DeviceProfile profile;
    profile.memoryBytes = {1e9, "s"};
    profile.memoryBandwidth = {1e11, "s"};
    profile.bandwidthEfficiency = {0.5, "s"};
    profile.computeEfficiency = {0.8, "s"};
    profile.compute = {{"fp32", {0.5e12, "s"}}, {"fp16", {1e12, "s"}}, {"int8", {4e12, "s"}}};
    profile.energyPerByte = {1e-10, "s"};
    profile.energyPerOperation = {1e-12, "s"};
    profile.idlePower = {10.0, "s"};
    return profile;
}

bool near(double actual, double expected)
{
    return std::abs(actual - expected) <= 1e-9 * std::abs(expected);
}

double secondsOf(double bytes, double operations, double rate = 1e12)
{
    return std::max(bytes / 0.5e11, operations / (rate * 0.8));
}

const RooflinePoint* find(const Projection& projection, const std::string& name)
{
    for (const auto& point : projection.decodeOperations)
        if (point.name == name)
            return &point;
    return nullptr;
}

tests::LlamaShape large(bool tied)
{
    return {.blocks = 4,
        .hidden = 512,
        .intermediate = 1408,
        .heads = 8,
        .keyValueHeads = 2,
        .vocabulary = 32000,
        .tied = tied};
}

}  // namespace

class TestProjection : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void decodeStep_data()
    {
        QTest::addColumn<bool>("tied");
        QTest::addColumn<int>("batch");
        for (const bool tied : {false, true})
            for (const int batch : {1, 4, 64, 512})
                QTest::addRow("%s batch %d", tied ? "tied" : "untied", batch) << tied << batch;
    }

    void decodeStep()
    {
        QFETCH(bool, tied);
        QFETCH(int, batch);
        const auto model = tests::llama(large(tied));
        const double b = batch, context = 1024, h = 512, f = 1408, v = 32000, layers = 4, kv = 2 * 64;
        const auto got = project(model, unquantizedPlan(model), device(), {1024, std::uint64_t(batch), 8.5});

        const double attention = layers * (2 * h * h + 2 * kv * h), mlp = layers * 3 * f * h;
        const double norms = (2 * layers + 1) * h, head = v * h;
        const double cache = 2 * layers * kv * context * b * 8.5 / 8;
        QCOMPARE(double(got.keyValueBytes), cache);
        QCOMPARE(double(got.weightsBytes), 2 * (attention + mlp + norms + head * (tied ? 1 : 2)));
        QCOMPARE(double(got.activationBytes), 2 * context * b * (2 * h + 2 * f) + 4 * b * v);

        const double seconds = secondsOf(b * h * 2, 0) + secondsOf(2 * attention, 2 * attention * b)
            + secondsOf(2 * mlp, 2 * mlp * b) + secondsOf(2 * norms, 2 * norms * b) + secondsOf(2 * head, 2 * head * b)
            + secondsOf(cache, 4 * context * h * layers * b);
        const double bytes = b * h * 2 + 2 * (attention + mlp + norms + head) + cache;
        const double operations = 2 * (attention + mlp + norms + head) * b + 4 * context * h * layers * b;
        QVERIFY(near(got.decodeTokensPerSecond, b / seconds));
        QVERIFY(near(got.energyPerToken, (bytes * 1e-10 + operations * 1e-12 + seconds * 10) / b));
        QVERIFY(got.assumptions.empty());

        double sum = 0;
        for (const auto& point : got.decodeOperations)
            sum += point.seconds;
        QVERIFY(near(sum, seconds));
        QVERIFY(near(find(got, "attention weights")->bytes, 2 * attention));
        QVERIFY(near(find(got, "mlp weights")->operations, 2 * mlp * b));
        QVERIFY(near(find(got, "lm_head")->bytes, 2 * head));
        QVERIFY(near(find(got, "embedding")->bytes, 2 * h * b));
        // BF16 weights: one operation per byte and token; the roofs meet at 0.8e12 / 0.5e11 = 16.
        QCOMPARE(find(got, "lm_head")->memoryBound, batch <= 16);
        QCOMPARE(got.decodeMemoryBound, 2 * (secondsOf(b * h * 2, 0) + secondsOf(cache, 0)) >= seconds || batch <= 16);
    }

    /// Tensor by tensor: the same where one roof bounds each kind of operation, else more, never less.
    void stepsAreSumsOverTensors_data() { decodeStep_data(); }
    void stepsAreSumsOverTensors()
    {
        QFETCH(bool, tied);
        QFETCH(int, batch);
        const auto model = tests::llama(large(tied));
        const Workload workload {1024, std::uint64_t(batch), 8.5};
        const auto profile = device();
        const StepLatency latency(model, profile, workload);
        for (const char* scheme : {"int4", "int8", "fp16"}) {
            for (const char* down : {"int8", "int3:g32"}) {
                auto recipe = Recipe::uniform(tests::scheme(scheme), model);
                recipe.keep = {"*norm*"};
                recipe.rules = {{"*down_proj*", {tests::scheme(down), std::nullopt}}};
                const auto plan = resolve(recipe, model);
                const double sum = latency.secondsOf(plan),
                             whole = batch / project(model, plan, profile, workload).decodeTokensPerSecond;
                QVERIFY(sum >= whole * (1.0 - 1e-12));
                QVERIFY(batch > 1 || near(sum, whole));
            }
            const auto plan = resolve(Recipe::uniform(tests::scheme(scheme), model), model);
            double byHand = latency.secondsOfCache();
            for (const auto& planned : plan.tensors)
                byHand += latency.secondsOf(planned);
            QVERIFY(near(latency.secondsOf(plan), byHand));
        }
        // One matrix: its bytes from memory, or its products.
        auto planned = unquantizedPlan(model).tensors.at(model.find("model.layers.0.mlp.up_proj.weight").value());
        QVERIFY(near(latency.secondsOf(planned), secondsOf(2.0 * 512 * 1408, 2.0 * 512 * 1408 * batch)));
    }

    void prefill()
    {
        const auto model = tests::llama(large(false));
        const auto got = project(model, unquantizedPlan(model), device(), {1000, 2, 16});
        const double tokens = 2000, h = 512, f = 1408, v = 32000, layers = 4, kv = 128;
        const double attention = layers * (2 * h * h + 2 * kv * h), mlp = layers * 3 * f * h;
        const double norms = (2 * layers + 1) * h;
        const double pairs = 2 * (1000.0 * 1001 / 2);  // causal: token i attends to i
        const double seconds = secondsOf(tokens * h * 2, 0) + secondsOf(2 * attention, 2 * attention * tokens)
            + secondsOf(2 * mlp, 2 * mlp * tokens) + secondsOf(2 * norms, 2 * norms * tokens)
            + secondsOf(2 * v * h, 2 * v * h * 2) + secondsOf(2 * 2 * layers * kv * tokens, 4 * pairs * h * layers);
        QVERIFY(near(got.prefillTokensPerSecond, tokens / seconds));
        QVERIFY(!got.prefillMemoryBound);
    }

    void schemesSaveBytesAndChooseTheRate()
    {
        const auto model = tests::llama(large(false));
        auto recipe = Recipe::uniform(tests::scheme("int8"), model);
        const Workload workload {128, 256, 16};
        const auto weightOnly = project(model, resolve(recipe, model), device(), workload);
        recipe.activations = tests::scheme("int8:token");
        const auto integer = project(model, resolve(recipe, model), device(), workload);
        const double mlp = 4 * 3 * 1408 * 512.0;
        const double bytes = mlp + 2 * 4 * (2 * 1408 + 512);  // a code per weight, an FP16 scale per row
        for (const auto* result : {&weightOnly, &integer}) {
            QVERIFY(near(find(*result, "mlp weights")->bytes, bytes));
            QCOMPARE(find(*result, "mlp weights")->operations, 2 * mlp * 256);
        }
        QVERIFY(near(find(weightOnly, "mlp weights")->seconds, secondsOf(bytes, 2 * mlp * 256, 1e12)));
        QVERIFY(near(find(integer, "mlp weights")->seconds, secondsOf(bytes, 2 * mlp * 256, 4e12)));
        QVERIFY(integer.decodeTokensPerSecond > weightOnly.decodeTokensPerSecond);
        QCOMPARE(integer.weightsBytes, resolve(recipe, model).bytes);
    }

    void mixturesReadTheExpertsTheyPick_data()
    {
        QTest::addColumn<bool>("stacks");
        QTest::addColumn<int>("batch");
        QTest::addColumn<double>("experts");  // expected distinct ones of four, two per token
        for (const bool stacks : {false, true}) {
            QTest::addRow("%s batch 1", stacks ? "stacks" : "files") << stacks << 1 << 2.0;
            QTest::addRow("%s batch 2", stacks ? "stacks" : "files") << stacks << 2 << 3.0;
            QTest::addRow("%s batch 3", stacks ? "stacks" : "files") << stacks << 3 << 3.5;
        }
    }

    void mixturesReadTheExpertsTheyPick()
    {
        QFETCH(bool, stacks);
        QFETCH(int, batch);
        QFETCH(double, experts);
        const auto model = stacks ? tests::gguf({.tied = false}, 4) : tests::mixtral(4);
        const auto got = project(model, unquantizedPlan(model), device(), {64, std::uint64_t(batch), 16});
        const double expert = 2.0 * 3 * 172 * 64;  // parameters, both blocks
        const auto* point = find(got, "expert weights");
        QVERIFY(point);
        QVERIFY(near(point->bytes, 2 * expert * experts));
        QVERIFY(near(point->operations, 2 * expert * 2 * batch));
        QVERIFY(!find(got, "mlp weights"));
        QCOMPARE(double(got.activationBytes), 2.0 * 64 * batch * (2 * 64 + 2 * 172 * 2) + 4.0 * batch * 512);
    }

    void slidingWindowCapsTheCache()
    {
        auto model = tests::llama();
        model.config.slidingWindow = 100;
        const auto got = project(model, unquantizedPlan(model), device(), {1024, 1, 16});
        QCOMPARE(got.keyValueBytes, std::uint64_t(2 * 2 * 32 * 100 * 2));
        QCOMPARE(got.assumptions.size(), std::size_t(1));
        QVERIFY(near(find(got, "kv cache")->operations, 4.0 * 100 * 64 * 2));
    }

    void shapesStandInForTheConfiguration_data()
    {
        QTest::addColumn<int>("family");
        QTest::newRow("llama") << 0;
        QTest::newRow("gguf with expert stacks") << 1;
        QTest::newRow("gpt-2, fused q/k/v") << 2;
    }

    void shapesStandInForTheConfiguration()
    {
        QFETCH(int, family);
        auto model = family == 0 ? tests::llama() : family == 1 ? tests::gguf({}, 4) : tests::gpt2();
        const Workload workload {256, 2, 16};
        const auto known = project(model, unquantizedPlan(model), device(), workload);
        const bool tied = model.config.tiedEmbeddings;
        model.config = {};
        model.config.tiedEmbeddings = tied;
        const auto guessed = project(model, unquantizedPlan(model), device(), workload);
        QCOMPARE(guessed.keyValueBytes, known.keyValueBytes);
        QCOMPARE(guessed.activationBytes, known.activationBytes);
        QCOMPARE(guessed.decodeTokensPerSecond, known.decodeTokensPerSecond);
        QCOMPARE(guessed.prefillTokensPerSecond, known.prefillTokensPerSecond);
        QVERIFY(guessed.assumptions.size() > known.assumptions.size());
    }

    void saysWhatItDoesNotKnow()
    {
        ModelCatalog model;
        tests::addTensor(model, "some.weight", {64, 64});
        const auto got = project(model, unquantizedPlan(model), device(), {});
        QCOMPARE(got.keyValueBytes, std::uint64_t(0));
        QCOMPARE(got.activationBytes, std::uint64_t(0));
        QCOMPARE(got.assumptions.size(), std::size_t(2));
        QVERIFY(std::isfinite(got.decodeTokensPerSecond) && got.decodeTokensPerSecond > 0);

        const auto nothing = project(ModelCatalog {}, unquantizedPlan({}), device(), {0, 0, 16});
        QCOMPARE(nothing.totalBytes(), std::uint64_t(0));
        QCOMPARE(nothing.decodeTokensPerSecond, 0.0);
    }

    void contextBeyondTheModelIsSaid()
    {
        const auto model = tests::llama();
        QCOMPARE(project(model, unquantizedPlan(model), device(), {2048, 1, 16}).assumptions.size(), std::size_t(0));
        QCOMPARE(project(model, unquantizedPlan(model), device(), {2049, 1, 16}).assumptions.size(), std::size_t(1));
    }

    void fitsToTheByte()
    {
        const auto model = tests::llama();
        auto profile = device();
        const Workload workload {512, 1, 16};
        const auto total = project(model, unquantizedPlan(model), profile, workload).totalBytes();
        profile.memoryBytes.value = double(total);
        QVERIFY(project(model, unquantizedPlan(model), profile, workload).fits);
        profile.memoryBytes.value = double(total - 1);
        QVERIFY(!project(model, unquantizedPlan(model), profile, workload).fits);
    }

    // 8 billion parameters: 32 blocks of 4096, 14336, 8 of 32 heads cached, 128256 tokens. Its cache is known to take
    // 128 KiB per token at FP16.
    void aModelOfKnownSize()
    {
        const auto model = tests::llama({.blocks = 32,
            .hidden = 4096,
            .intermediate = 14336,
            .heads = 32,
            .keyValueHeads = 8,
            .vocabulary = 128256,
            .tied = false});
        QCOMPARE(model.parameters(), std::uint64_t(8'030'261'248));
        const auto got = project(model, unquantizedPlan(model), device(), {8192, 1, 16});
        QCOMPARE(got.keyValueBytes, std::uint64_t(8192) * 128 * 1024);
        QCOMPARE(got.weightsBytes, std::uint64_t(2 * 8'030'261'248));
    }

    void keepsEverythingAsStored()
    {
        const auto model = tests::mixtral();
        const auto plan = unquantizedPlan(model);
        QCOMPARE(plan.bytes, model.bytes());
        QCOMPARE(plan.quantizedParameters, std::uint64_t(0));
        QCOMPARE(plan.bitsPerWeight, 16.0);
    }
};

QTEST_APPLESS_MAIN(TestProjection)
#include "tst_projection.moc"
