// SPDX-License-Identifier: GPL-3.0-or-later
// A quantized cache of keys and values as a runtime has it, written out a second time, one number at a time: every head
// of every token is rounded as it enters the cache, and attention reads nothing else. No published table has such
// figures; `evaluate` must come to those of this implementation.
#include "core/analysis/quantized_model.h"
#include "core/inference/evaluate.h"
#include "tests/core/inference/slow_forward.h"
#include "tests/support/text_windows.h"
#include "tests/support/uniform_plan.h"

#include <QTest>

#include <limits>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

using Row = SlowForward::Row;

/// FP16 by its definition: 11 significant bits, exponents from −14 up.
double half(double x)
{
    const int exponent = std::max(std::ilogb(x), -14);
    return std::ldexp(std::nearbyint(std::ldexp(x, 10 - exponent)), exponent - 10);
}

double largestOf(const Row& x)
{
    double largest = 0.0;
    for (const double value : x)
        largest = std::max(largest, std::abs(value));
    return largest;
}

/// −levels … levels of one scale, which lies in the cache as FP16.
Row symmetric(Row x, double levels)
{
    const double scale = half(largestOf(x) / levels);
    for (auto& value : x)
        value = std::clamp(std::nearbyint(value / scale), -levels, levels) * scale;
    return x;
}

/// 0 … levels with an integer zero point.
Row asymmetric(Row x, double levels)
{
    const double low = std::min(0.0, *std::min_element(x.begin(), x.end()));
    const double high = std::max(0.0, *std::max_element(x.begin(), x.end()));
    const double zero = std::nearbyint(-low / ((high - low) / levels)), scale = half((high - low) / levels);
    for (auto& value : x)
        value = (std::clamp(std::nearbyint(value / scale) + zero, 0.0, levels) - zero) * scale;
    return x;
}

/// E4M3: three bits behind the leading one, exponents from −6 up, 448 at most.
Row float8(Row x)
{
    const double scale = half(largestOf(x) / 448.0);
    for (auto& value : x) {
        const double scaled = std::clamp(value / scale, -448.0, 448.0);
        const int exponent = scaled == 0.0 ? -6 : std::max(std::ilogb(scaled), -6);
        value = std::ldexp(std::nearbyint(std::ldexp(scaled, 3 - exponent)), exponent - 3) * scale;
    }
    return x;
}

/// ggml's q8_0: blocks of 32 with an FP16 scale, codes by the scale before it was rounded, halves away from 0.
Row ggml8(Row x)
{
    const double exact = largestOf(x) / 127.0, scale = half(exact);
    for (auto& value : x)
        value = std::round(value / exact) * scale;
    return x;
}

using Rounding = std::function<Row(Row)>;

/// Groups of a head by themselves.
Rounding grouped(std::size_t size, const Rounding& one)
{
    return [=](const Row& head) {
        Row out;
        for (std::size_t first = 0; first < head.size(); first += size) {
            const auto begin = head.begin() + std::ptrdiff_t(first);
            const auto part = one(Row(begin, begin + std::ptrdiff_t(std::min(size, head.size() - first))));
            out.insert(out.end(), part.begin(), part.end());
        }
        return out;
    };
}

const Rounding int8 = [](Row x) { return symmetric(std::move(x), 127.0); };
const Rounding int4 = [](Row x) { return symmetric(std::move(x), 7.0); };

struct CacheCase {
    const char* scheme;
    Rounding rounding;
};

std::vector<CacheCase> cacheCases()
{
    return {
        {"int8", int8},
        {"int8:token", int8},
        {"int8:g8", grouped(8, int8)},
        {"int8:token:asym", [](Row x) { return asymmetric(std::move(x), 255.0); }},
        {"int4:token", int4},
        {"int4:g8", grouped(8, int4)},
        {"int4:g20", grouped(20, int4)},
        {"int4:g8:asym", grouped(8, [](Row x) { return asymmetric(std::move(x), 15.0); })},
        {"fp8_e4m3:token", float8},
        {"fp8_e4m3:g16", grouped(16, float8)},
        {"q8_0", ggml8},
    };
}

/// What the figures of a text are made of.
struct Figures {
    double negativeLog = 0.0, divergence = 0.0, largest = 0.0;
    std::size_t scored = 0, agreeing = 0;
};

Row probabilities(const Row& logits)
{
    const double most = *std::max_element(logits.begin(), logits.end());
    Row out;
    double sum = 0.0;
    for (const double logit : logits)
        sum += out.emplace_back(std::exp(logit - most));
    for (auto& value : out)
        value /= sum;
    return out;
}

void addTo(Figures& figures, const Row& base, const Row& other, std::size_t target)
{
    const auto p = probabilities(base), q = probabilities(other);
    double divergence = 0.0;
    for (std::size_t i = 0; i < p.size(); ++i)
        divergence += p[i] * std::log(p[i] / q[i]);
    figures.negativeLog -= std::log(q[target]);
    figures.divergence += divergence;
    figures.largest = std::max(figures.largest, divergence);
    figures.agreeing +=
        std::max_element(p.begin(), p.end()) - p.begin() == std::max_element(q.begin(), q.end()) - q.begin();
    ++figures.scored;
}

}  // namespace

class TestQuantizedCache : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void initTestCase()
    {
        QVERIFY(m_folder.isValid());
        for (const std::size_t layers : {1U, 3U}) {
            auto& made = m_decoders[layers];
            made.tiny.head = 32;
            made.tiny.turned = 32;
            made.tiny.layers = layers;
            made.tiny.windows.assign(layers, 0);
            made.tiny.local.assign(layers, false);
            made.tiny.rotates.assign(layers, true);
            fillTiny(made.tiny);
            const auto folder = std::filesystem::path(m_folder.path().toStdString()) / std::to_string(layers);
            std::filesystem::create_directory(folder);
            made.model = openTiny(made.tiny, folder).value();
            made.decoder = describeDecoder(*made.model).value();
        }
        m_text = randomWindows(m_decoders[1].tiny.vocabulary, {23, 40, 7});
    }

    void figures_data()
    {
        QTest::addColumn<int>("layers");
        QTest::addColumn<int>("index");
        for (const int layers : {1, 3}) {
            int index = 0;
            for (const auto& [scheme, rounding] : cacheCases())
                QTest::addRow("%s, blocks: %d", scheme, layers) << layers << index++;
        }
    }

    void figures()
    {
        QFETCH(const int, layers);
        QFETCH(const int, index);
        const auto& made = m_decoders.at(std::size_t(layers));
        const auto all = cacheCases();
        const auto& [scheme, rounding] = all[std::size_t(index)];
        const auto expected = slowFigures(made.tiny, rounding);
        const auto hooks =
            quantizedModel(*made.model, uniformPlan(*made.model, "fp32"), Scheme::parse(scheme).value(), {}, {});
        QVERIFY2(hooks, hooks ? "" : describe(hooks.error()).c_str());
        Progress progress;
        const auto result = evaluate(*made.decoder, m_text, *hooks, {}, {}, progress);
        QVERIFY2(result, result ? "" : describe(result.error()).c_str());
        const auto count = double(expected.scored);
        QCOMPARE(result->scored, expected.scored);
        // Where float's last bits send a number at a tie to the other level, all that reads it moves; behind the first
        // block there are more such numbers.
        const double within = layers == 1 ? 8e-3 : 0.05;
        const auto close = [within](double actual, double wanted) {
            const bool near = std::abs(actual / wanted - 1.0) < within;
            if (!near)
                qWarning("%.9g, expected %.9g", actual, wanted);
            return near;
        };
        QVERIFY(close(result->divergence->mean, expected.divergence / count));
        QVERIFY(layers > 1 || close(result->divergence->max, expected.largest));  // that of one prediction
        QVERIFY(close(result->quantized->value, std::exp(expected.negativeLog / count)));
        QVERIFY(std::abs(result->divergence->topAgreement - double(expected.agreeing) / count) < within);
    }

    /// Otherwise any scheme would do above.
    void schemesDiffer()
    {
        std::vector<double> divergences;
        for (const auto& [scheme, rounding] : cacheCases())
            divergences.push_back(slowFigures(m_decoders[1].tiny, rounding).divergence);
        QCOMPARE(divergences[0], divergences[1]);  // said twice
        // The last, q8_0, is int8 but for which codes the rounded scale gives.
        for (std::size_t i = 1; i + 1 < divergences.size(); ++i)
            for (std::size_t j = 1; j < i; ++j)
                QVERIFY2(std::abs(divergences[i] / divergences[j] - 1.0) > 1e-2, cacheCases()[i].scheme);
    }

private:
    struct Made {
        TinyDecoder tiny {};
        ModelPointer model {};
        std::optional<Decoder> decoder {};
    };

    Figures slowFigures(const TinyDecoder& tiny, const Rounding& rounding) const
    {
        Figures figures;
        for (const auto& window : m_text.windows) {
            std::vector<std::uint32_t> tokens;
            for (std::size_t i = 0; i < window.length; ++i)
                tokens.push_back(m_text.token(window, i));
            const auto base = SlowForward(tiny, tokens).logits();
            SlowForward changed(tiny, tokens);
            changed.replaceHead = rounding;
            const auto other = changed.logits();
            for (std::size_t i = 0; i + 1 < tokens.size(); ++i)
                addTo(figures, base[i], other[i], tokens[i + 1]);
        }
        return figures;
    }

    QTemporaryDir m_folder;
    std::map<std::size_t, Made> m_decoders;  ///< by the number of their blocks
    WindowedText m_text;
};

QTEST_APPLESS_MAIN(TestQuantizedCache)
#include "tst_quantized_cache.moc"
