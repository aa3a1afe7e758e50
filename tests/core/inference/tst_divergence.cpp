// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/inference/divergence.h"

#include <QTest>

#include <cmath>
#include <random>

using namespace quantloupe;

namespace {

TokenScore compare(
    const std::vector<float>& base, const std::vector<float>& other, std::uint32_t target, std::size_t piece)
{
    LogitComparison comparison(target);
    for (std::size_t first = 0; first < base.size(); first += piece) {
        const auto count = std::min(piece, base.size() - first);
        comparison.add(
            std::uint32_t(first), std::span(base).subspan(first, count), std::span(other).subspan(first, count));
    }
    return comparison.score();
}

std::vector<double> probabilities(const std::vector<float>& logits)
{
    long double sum = 0.0L;
    const float largest = *std::max_element(logits.begin(), logits.end());
    for (const float logit : logits)
        sum += std::exp((long double)(logit) - (long double)(largest));
    std::vector<double> made;
    for (const float logit : logits)
        made.push_back(double(std::exp((long double)(logit) - (long double)(largest)) / sum));
    return made;
}

}  // namespace

class TestDivergence : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void agreesWithTheDefinition_data()
    {
        QTest::addColumn<double>("noise");
        QTest::addColumn<double>("offset");
        QTest::newRow("far") << 2.0 << 0.0;
        QTest::newRow("near") << 1e-3 << 0.0;
        QTest::newRow("shifted") << 0.1 << 300.0;  // a constant changes no probability
        QTest::newRow("same") << 0.0 << 0.0;
    }

    void agreesWithTheDefinition()
    {
        QFETCH(const double, noise);
        QFETCH(const double, offset);
        std::mt19937 random(5);
        std::normal_distribution<double> normal;
        std::vector<float> base(777), other(777);
        for (std::size_t i = 0; i < base.size(); ++i) {
            base[i] = float(4.0 * normal(random));
            other[i] = float(double(base[i]) + noise * normal(random) + offset);
        }
        const auto p = probabilities(base), q = probabilities(other);
        double divergence = 0.0;
        for (std::size_t i = 0; i < p.size(); ++i)
            divergence += p[i] * (std::log(p[i]) - std::log(q[i]));
        const auto likeliest = [](const std::vector<float>& x) {
            return std::max_element(x.begin(), x.end()) - x.begin();
        };
        for (const std::size_t piece : {1U, 64U, 777U, 1000U})
            for (const std::uint32_t target : {0U, 500U, 776U}) {
                const auto score = compare(base, other, target, piece);
                QVERIFY(std::abs(score.negativeLogBase + std::log(p[target])) < 1e-11);
                QVERIFY(std::abs(score.negativeLog + std::log(q[target])) < 1e-11);
                QVERIFY(std::abs(score.divergence - divergence) < 1e-12 + 1e-9 * divergence);
                QCOMPARE(score.agrees, likeliest(base) == likeliest(other));
            }
    }

    void equalLogitsDoNotDiverge()
    {
        const std::vector<float> logits {1.0F, -3.0F, 1.0F, 0.25F};
        const auto score = compare(logits, logits, 1, 2);
        QCOMPARE(score.divergence, 0.0);
        QVERIFY(score.agrees);
    }

    void ofEqualTokensTheFirstIsLikeliest()
    {
        QVERIFY(!compare({1.0F, 2.0F, 2.0F}, {1.0F, 2.0F, 2.5F}, 0, 1).agrees);
        QVERIFY(compare({1.0F, 2.0F, 2.0F}, {1.0F, 2.5F, 2.0F}, 0, 1).agrees);
    }

    void figuresOverTokens()
    {
        std::vector<TokenScore> scores;
        for (int i = 0; i <= 1000; ++i)  // divergences 0 … 1, in an order that must not matter
            scores.push_back({.negativeLogBase = std::log(2.0),
                .negativeLog = std::log(4.0),
                .divergence = double(i * 5 % 1001) / 1000.0,
                .agrees = i % 4 != 0});
        const auto figures = divergenceOf(scores);
        QCOMPARE(figures.mean, 0.5);
        QCOMPARE(figures.median, 0.5);
        QCOMPARE(figures.p90, 0.9);
        QCOMPARE(figures.p95, 0.95);
        QCOMPARE(figures.p99, 0.99);
        QCOMPARE(figures.p999, 0.999);
        QCOMPARE(figures.max, 1.0);
        QCOMPARE(figures.topAgreement, 750.0 / 1001.0);
        QCOMPARE(figures.probabilityChangeMean, -0.25);
        QCOMPARE(figures.probabilityChangeRms, 0.25);
        const auto base = perplexityOf(scores, &TokenScore::negativeLogBase);
        QCOMPARE(base.value, 2.0);
        QCOMPARE(perplexityOf(scores, &TokenScore::negativeLog).value, 4.0);
    }

    void intervalOfPerplexity()
    {
        std::vector<TokenScore> scores(100);
        for (std::size_t i = 0; i < 100; ++i)
            scores[i].negativeLog = i % 2 == 0 ? 1.0 : 3.0;
        const auto perplexity = perplexityOf(scores, &TokenScore::negativeLog);
        const double error = std::sqrt(100.0 / 99.0) / 10.0;  // σ of a fair ±1 over √n
        QCOMPARE(perplexity.value, std::exp(2.0));
        QVERIFY(std::abs(perplexity.low - std::exp(2.0 - 1.95996398 * error)) < 1e-7);
        QVERIFY(std::abs(perplexity.high - std::exp(2.0 + 1.95996398 * error)) < 1e-7);
    }

    void oneTokenIsEnough()
    {
        const std::vector<TokenScore> scores {{.negativeLogBase = 1.0, .negativeLog = 1.0, .divergence = 0.3}};
        const auto perplexity = perplexityOf(scores, &TokenScore::negativeLog);
        QCOMPARE(perplexity.low, perplexity.high);
        QCOMPARE(divergenceOf(scores).p999, 0.3);
    }
};

QTEST_APPLESS_MAIN(TestDivergence)
#include "tst_divergence.moc"
