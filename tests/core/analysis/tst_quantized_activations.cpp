// SPDX-License-Identifier: GPL-3.0-or-later
// Activations and cached heads by every kind of scale, against formulas written out here.
#include "core/analysis/quantized_activations.h"
#include "core/analysis/quantized_model.h"
#include "tests/core/analysis/synthetic_tensor.h"

#include <QTest>

#include <cmath>
#include <list>
#include <random>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

constexpr std::size_t kTokens = 37, kColumns = 48;

std::vector<float> activations(unsigned seed = 3)
{
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    std::vector<float> values(kTokens * kColumns);
    for (std::size_t i = 0; i < values.size(); ++i)
        values[i] = normal(random) * (i % kColumns == 7 ? 30.0F : 1.0F) + (i % kColumns == 9 ? 5.0F : 0.0F);
    return values;
}

struct Range {
    float low = 0.0F, high = 0.0F;
};

Range rangeOf(std::span<const float> values)
{
    return {*std::min_element(values.begin(), values.end()), *std::max_element(values.begin(), values.end())};
}

/// −127 … 127 of a scale.
float symmetric(float x, const Range& range, int bits = 8)
{
    const float largest = float((1 << (bits - 1)) - 1);
    const float scale = std::max(-range.low, range.high) / largest;
    return std::clamp(std::nearbyint(x / scale), -largest, largest) * scale;
}

/// 0 … 255 with an integer zero point.
float asymmetric(float x, const Range& range)
{
    const float low = std::min(range.low, 0.0F), high = std::max(range.high, 0.0F);
    const float scale = (high - low) / 255.0F;
    const float zero = std::nearbyint(-low / scale);
    return (std::clamp(std::nearbyint(x / scale) + zero, 0.0F, 255.0F) - zero) * scale;
}

/// FP16 by its definition: 11 significant bits, exponents from −14 up.
float half(float x)
{
    const int exponent = std::max(std::ilogb(x), -14);
    return std::ldexp(std::nearbyint(std::ldexp(x, 10 - exponent)), exponent - 10);
}

ChannelRanges rangesOf(const std::vector<float>& values)
{
    ChannelRanges ranges {std::vector<float>(kColumns, 1e9F), std::vector<float>(kColumns, -1e9F)};
    for (std::size_t i = 0; i < values.size(); ++i) {
        ranges.low[i % kColumns] = std::min(ranges.low[i % kColumns], values[i]);
        ranges.high[i % kColumns] = std::max(ranges.high[i % kColumns], values[i]);
    }
    return ranges;
}

Result<InputReplacer> made(const char* scheme, const ChannelRanges* ranges = nullptr)
{
    return quantizedInputs(Scheme::parse(scheme).value(), kColumns, ranges);
}

bool close(const std::vector<float>& actual, const std::vector<float>& expected)
{
    for (std::size_t i = 0; i < expected.size(); ++i)
        if (!(std::abs(actual[i] - expected[i]) <= 2e-6F * std::abs(expected[i]))) {
            qWarning("%zu: %.9g, expected %.9g", i, double(actual[i]), double(expected[i]));
            return false;
        }
    return actual.size() == expected.size();
}

}  // namespace

class TestQuantizedActivations : public QObject
{
    Q_OBJECT
private:
    /// x̂ of each value, by the row, its place in the row, and everything there is.
    using Formula = std::function<float(std::span<const float> row, std::size_t column, std::span<const float> all)>;
    std::map<std::string, Formula> m_dynamic {
        {"int8:token", [](auto row, auto i, auto) { return symmetric(row[i], rangeOf(row)); }},
        {"int8:token:s32", [](auto row, auto i, auto) { return symmetric(row[i], rangeOf(row)); }},
        {"int6:token", [](auto row, auto i, auto) { return symmetric(row[i], rangeOf(row), 6); }},
        {"int4:token", [](auto row, auto i, auto) { return symmetric(row[i], rangeOf(row), 4); }},
        {"int8:token:asym", [](auto row, auto i, auto) { return asymmetric(row[i], rangeOf(row)); }},
        {"int8:g20",
            [](auto row, auto i, auto) {
                const auto first = i / 20 * 20;
                return symmetric(row[i], rangeOf(row.subspan(first, std::min<std::size_t>(20, kColumns - first))));
            }},
        {"int8:tensor", [](auto row, auto i, auto all) { return symmetric(row[i], rangeOf(all)); }},
        {"int8:tensor:asym", [](auto row, auto i, auto all) { return asymmetric(row[i], rangeOf(all)); }},
        {"mxint8",
            [](auto row, auto i, auto) {
                const auto block = rangeOf(row.subspan(i / 32 * 32, std::min<std::size_t>(32, kColumns - i / 32 * 32)));
                const float step = std::ldexp(1.0F, std::ilogb(std::max(-block.low, block.high)) - 6);
                return std::clamp(std::nearbyint(row[i] / step), -127.0F, 127.0F) * step;
            }},
        {"bf16",
            [](auto row, auto i, auto) {
                const int exponent = std::ilogb(row[i]);
                return std::ldexp(std::nearbyint(std::ldexp(row[i], 7 - exponent)), exponent - 7);
            }},
        {"fp8_e4m3:token",
            [](auto row, auto i, auto) {
                const auto range = rangeOf(row);
                const float scale = std::max(-range.low, range.high) / 448.0F;
                const float x = row[i] / scale;
                const int exponent = x == 0.0F ? -6 : std::max(std::ilogb(x), -6);
                return std::ldexp(std::nearbyint(std::ldexp(x, 3 - exponent)), exponent - 3) * scale;
            }},
    };

private Q_SLOTS:
    void dynamic_data()
    {
        QTest::addColumn<QByteArray>("scheme");
        for (const auto& [scheme, formula] : m_dynamic)
            QTest::newRow(scheme.c_str()) << QByteArray(scheme.c_str());
    }

    void dynamic()
    {
        QFETCH(const QByteArray, scheme);
        const auto x = activations();
        const auto replacer = made(scheme);
        QVERIFY2(replacer, replacer ? "" : describe(replacer.error()).c_str());
        QCOMPARE(replacer->needsRange, scheme.contains("tensor"));
        const auto all = rangeOf(x);
        const kernels::FiniteRange range =
            replacer->needsRange ? kernels::FiniteRange {all.low, all.high} : kernels::FiniteRange();
        std::vector<float> expected;
        for (std::size_t i = 0; i < x.size(); ++i)
            expected.push_back(m_dynamic.at(scheme.toStdString())(
                std::span(x).subspan(i / kColumns * kColumns, kColumns), i % kColumns, x));
        auto whole = x;
        replacer->replace(whole, range);
        QVERIFY(close(whole, expected));
        auto pieces = x;
        for (std::size_t row = 0, count = 1; row < kTokens; row += count, count = std::min(2 * count, kTokens - row))
            replacer->replace(std::span(pieces).subspan(row * kColumns, count * kColumns), range);
        QCOMPARE(pieces, whole);
    }

    /// Ranges of other tokens; what lies beyond them is clamped.
    void staticRanges_data()
    {
        QTest::addColumn<QByteArray>("scheme");
        for (const auto* scheme : {"int8:tensor", "int8:tensor:asym", "int8", "int8:asym"})
            QTest::newRow(scheme) << QByteArray(scheme);
    }

    void staticRanges()
    {
        QFETCH(const QByteArray, scheme);
        const auto seen = activations(), x = activations(4);
        const auto ranges = rangesOf(seen);
        const auto replacer = made(scheme, &ranges);
        QVERIFY2(replacer, replacer ? "" : describe(replacer.error()).c_str());
        QVERIFY(!replacer->needsRange);
        const auto all = rangeOf(seen);
        std::vector<float> expected;
        std::size_t clamped = 0;
        for (std::size_t i = 0; i < x.size(); ++i) {
            const auto column = i % kColumns;
            const Range own = scheme.contains("tensor") ? all : Range {ranges.low[column], ranges.high[column]};
            expected.push_back(scheme.contains("asym") ? asymmetric(x[i], own) : symmetric(x[i], own));
            clamped += x[i] < own.low || x[i] > own.high;
        }
        QVERIFY(clamped > 0);
        auto replaced = x;
        replacer->replace(replaced, {-1e9F, 1e9F});
        QVERIFY(close(replaced, expected));
    }

    /// Gradients stop where a range clips: beyond its outermost levels, and nowhere else.
    void clips_data()
    {
        QTest::addColumn<QByteArray>("scheme");
        QTest::addColumn<bool>("isStatic");
        QTest::addColumn<bool>("clips");
        const auto add = [](const char* scheme, bool isStatic, bool clips) {
            QTest::addRow("%s%s", scheme, isStatic ? ", static" : "") << QByteArray(scheme) << isStatic << clips;
        };
        for (const auto* scheme : {"int8:token", "int4:g16:asym", "int8:tensor", "fp8_e4m3:token", "nvfp4", "q8_0"})
            add(scheme, false, false);
        for (const auto* scheme : {"int8:token:p90", "int4:g16:asym:p90", "fp8_e4m3:token:p95"})
            add(scheme, false, true);
        for (const auto* scheme : {"int8:tensor", "int4:tensor:asym", "int8:channel", "fp8_e4m3:channel"})
            add(scheme, true, true);
    }

    void clips()
    {
        QFETCH(const QByteArray, scheme);
        QFETCH(const bool, isStatic);
        QFETCH(const bool, clips);
        const auto x = activations();
        auto ranges = rangesOf(x);
        for (auto* ends : {&ranges.low, &ranges.high})
            for (auto& end : *ends)
                end *= 0.5F;
        const auto replacer = made(scheme.constData(), isStatic ? &ranges : nullptr);
        QVERIFY2(replacer, replacer ? "" : describe(replacer.error()).c_str());
        QCOMPARE(bool(replacer->clip), clips);
        if (!clips)
            return;
        auto rounded = x;
        replacer->replace(rounded, {});
        std::vector<float> gradient(x.size(), 1.0F);
        replacer->clip(x, {}, gradient);
        std::size_t stopped = 0;
        for (std::size_t i = 0; i < x.size(); ++i) {
            QVERIFY(gradient[i] == 0.0F || gradient[i] == 1.0F);
            stopped += gradient[i] == 0.0F ? 1 : 0;
            // What is clipped becomes an outermost level, nearer to 0 or to the middle: nothing larger has another.
            if (gradient[i] == 0.0F)
                QVERIFY(rounded[i] != x[i] && std::abs(rounded[i]) < std::abs(x[i]));
        }
        QVERIFY2(stopped > 0 && stopped < x.size() / 3, qPrintable(QString::number(stopped)));
        // By rows as by all at once.
        std::vector<float> byRows(x.size(), 1.0F);
        for (std::size_t row = 0; row < kTokens; ++row)
            replacer->clip(std::span(x).subspan(row * kColumns, kColumns), {},
                std::span(byRows).subspan(row * kColumns, kColumns));
        QVERIFY(byRows == gradient);
    }

    void scaleOfTwoLevels()
    {
        const auto x = activations();
        const auto ranges = rangesOf(x);
        const auto fixed = made("nvfp4", &ranges), running = made("nvfp4");
        QVERIFY(fixed && running && !fixed->needsRange && running->needsRange);
        const auto all = rangeOf(x);
        auto one = x, other = x;
        fixed->replace(one, {});
        running->replace(other, {all.low, all.high});
        QCOMPARE(one, other);
        running->replace(other = x, {-1'000.0F * all.high, 1'000.0F * all.high});
        QVERIFY(one != other);
    }

    void cachedHeads_data()
    {
        QTest::addColumn<QByteArray>("scheme");
        QTest::addColumn<int>("group");
        QTest::addColumn<bool>("isHalf");
        QTest::newRow("a scale per head") << QByteArray("int8") << 48 << true;
        QTest::newRow("the same, said otherwise") << QByteArray("int8:token") << 48 << true;
        QTest::newRow("exact scales") << QByteArray("int8:s32") << 48 << false;
        QTest::newRow("groups of a head") << QByteArray("int8:g20") << 20 << true;
        QTest::newRow("groups wider than a head") << QByteArray("int8:g128") << 48 << true;
    }

    void cachedHeads()
    {
        QFETCH(const QByteArray, scheme);
        QFETCH(const int, group);
        QFETCH(const bool, isHalf);
        const auto x = activations();
        const auto replacer = quantizedCache(Scheme::parse(scheme.toStdString()).value(), kColumns);
        QVERIFY2(replacer, replacer ? "" : describe(replacer.error()).c_str());
        std::vector<float> expected;
        for (std::size_t i = 0; i < x.size(); ++i) {
            const auto row = i / kColumns * kColumns,
                       first = row + i % kColumns / std::size_t(group) * std::size_t(group);
            const auto range =
                rangeOf(std::span(x).subspan(first, std::min(std::size_t(group), row + kColumns - first)));
            const float exact = std::max(-range.low, range.high) / 127.0F, scale = isHalf ? half(exact) : exact;
            expected.push_back(std::clamp(std::nearbyint(x[i] / scale), -127.0F, 127.0F) * scale);
        }
        auto replaced = x;
        (*replacer)(replaced);
        QVERIFY(close(replaced, expected));
    }

    /// Of one tensor each, all of the same input.
    void layersAlikeShareAReplacer()
    {
        Model model;
        std::list<SyntheticTensor> tensors;
        Plan plan;
        const auto add = [&](const char* name, const char* scheme) {
            tensors.emplace_back(8, kColumns, std::vector<float>(8 * kColumns, 1.0F));
            model.tensors.push_back(tensors.back().tensor());
            model.tensors.back().name = name;
            plan.tensors.push_back({.tensor = plan.tensors.size(), .scheme = Scheme::of(Format::Int8)});
            if (*scheme != '\0')
                plan.tensors.back().activations = Scheme::parse(scheme).value();
        };
        add("q", "int8:tensor");
        add("k", "int8:tensor");
        add("v", "int8:token");
        add("o", "");
        add("gate", "int8:tensor");
        const auto one = rangesOf(activations()), other = rangesOf(activations(4));
        const auto hook = quantizedInputs(model, plan, {{"q", one}, {"k", one}, {"gate", other}});
        QVERIFY2(hook, hook ? "" : describe(hook.error()).c_str());
        std::vector<std::shared_ptr<const InputReplacer>> replacers;
        for (std::size_t i = 0; i < 5; ++i)
            replacers.push_back((*hook)(i).value());
        QVERIFY(replacers[0] && replacers[0] == replacers[1]);
        QVERIFY(replacers[2] && replacers[2] != replacers[0]);
        QVERIFY(!replacers[3]);
        QVERIFY(replacers[4] && replacers[4] != replacers[0]);
        plan.tensors[2].activations = Scheme::parse("int8:channel").value();
        const auto refused = quantizedInputs(model, plan, {});
        QVERIFY(!refused);
        QCOMPARE(refused.error().where, std::string("v"));
        plan.tensors.pop_back();
        QCOMPARE(quantizedInputs(model, plan, {}).error().code, ErrorCode::Conflict);
    }

    void refusals_data()
    {
        QTest::addColumn<QByteArray>("scheme");
        QTest::addColumn<QByteArray>("reason");
        QTest::addColumn<bool>("ofCaches");
        const auto row = [](const char* scheme, const char* reason, bool ofCaches) {
            QTest::newRow(scheme) << QByteArray(scheme) << QByteArray(reason) << ofCaches;
        };
        row("int8:token+gptq", "gptq prepares weights", true);
        row("lut4", "int4", true);
        row("int8:b2x16", "gN", true);
        row("int8:token:mse", "minmax", true);
        row("int8:token:entropy", "minmax", true);
        row("int8:token:s8", "s32", true);
        row("q4_k", "llama.cpp", true);
        row("int8:channel", "'int8:token'", false);  // a head by itself, in a cache
        row("int8:tensor:p99", "'int8:token:p99'", false);
        row("ternary:tensor", "'ternary:token'", false);
        row("q4_0", "q8_0", false);  // llama.cpp has such caches
    }

    void refusals()
    {
        QFETCH(const QByteArray, scheme);
        QFETCH(const QByteArray, reason);
        QFETCH(const bool, ofCaches);
        const auto inputs = made(scheme);
        QVERIFY(!inputs);
        QCOMPARE(inputs.error().code, ErrorCode::Unsupported);
        QVERIFY2(inputs.error().reason.find(reason) != std::string::npos, inputs.error().reason.c_str());
        const auto parsed = Scheme::parse(scheme.toStdString()).value();
        QVERIFY2(inputs.error().where.find(parsed.toString()) != std::string::npos, inputs.error().where.c_str());
        QCOMPARE(!quantizedCache(parsed, 64), ofCaches || parsed.granularity.kind == Granularity::Kind::Tensor);
    }

    void cachesOfWholeTensors()
    {
        for (const auto* scheme : {"int8:tensor", "nvfp4"}) {
            const auto cache = quantizedCache(Scheme::parse(scheme).value(), 64);
            QVERIFY(!cache);
            QVERIFY(cache.error().reason.find("int8:token") != std::string::npos);
        }
        QVERIFY(quantizedCache(Scheme::of(Format::Q8_0), 64));
        const auto narrow = quantizedCache(Scheme::of(Format::Q8_0), 80);
        QVERIFY(!narrow);
        QVERIFY(narrow.error().reason.find("80") != std::string::npos);
    }

    void rangesOfAnotherLayer()
    {
        const ChannelRanges ranges {std::vector<float>(3), std::vector<float>(3)};
        const auto replacer = made("int8:tensor", &ranges);
        QVERIFY(!replacer);
        QCOMPARE(replacer.error().code, ErrorCode::InvalidArgument);
    }
};

QTEST_APPLESS_MAIN(TestQuantizedActivations)
#include "tst_quantized_activations.moc"
