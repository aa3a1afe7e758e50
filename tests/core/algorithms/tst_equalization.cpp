// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/algorithms/equalization.h"
#include "tests/support/model_catalogs.h"
#include "tests/support/synthetic_layer.h"

#include <QTest>

#include <algorithm>
#include <cmath>

using namespace quantloupe;

namespace {

std::string namesOf(const ModelCatalog& model, const EqualizationPair& pair)
{
    return model.tensors[pair.producer].name + " > " + model.tensors[pair.consumer].name;
}

std::vector<float> rowMaxima(const std::vector<float>& matrix, std::size_t columns)
{
    std::vector<float> maxima(matrix.size() / columns);
    for (std::size_t i = 0; i < matrix.size(); ++i)
        maxima[i / columns] = std::max(maxima[i / columns], std::abs(matrix[i]));
    return maxima;
}

std::vector<float> columnMaxima(const std::vector<float>& matrix, std::size_t columns)
{
    std::vector<float> maxima(columns);
    for (std::size_t i = 0; i < matrix.size(); ++i)
        maxima[i % columns] = std::max(maxima[i % columns], std::abs(matrix[i]));
    return maxima;
}

}  // namespace

class TestEqualization : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void pairsOfLlama()
    {
        const auto model = tests::llama();
        const auto pairs = equalizationPairs(model);
        QCOMPARE(pairs.size(), std::size_t(4));  // two blocks
        QCOMPARE(namesOf(model, pairs[0]),
            std::string("model.layers.0.self_attn.v_proj.weight > model.layers.0.self_attn.o_proj.weight"));
        QCOMPARE(namesOf(model, pairs[3]),
            std::string("model.layers.1.mlp.up_proj.weight > model.layers.1.mlp.down_proj.weight"));
        // 8 heads of 8 columns, two of them for each of 4 value heads.
        QCOMPARE(pairs[0].channels, std::size_t(32));
        QCOMPARE(pairs[0].readers, std::size_t(2));
        QCOMPARE(pairs[0].headDimension, std::size_t(8));
        QCOMPARE(pairs[0].channelOf(0), std::size_t(0));
        QCOMPARE(pairs[0].channelOf(7), std::size_t(7));
        QCOMPARE(pairs[0].channelOf(8), std::size_t(0));
        QCOMPARE(pairs[0].channelOf(16), std::size_t(8));
        QCOMPARE(pairs[0].channelOf(63), std::size_t(31));
        QCOMPARE(pairs[1].channelOf(171), std::size_t(171));
        QCOMPARE(equalizationPairOf(pairs, pairs[1].consumer), std::optional(pairs[1]));
        QVERIFY(!equalizationPairOf(pairs, *model.find("model.layers.0.mlp.gate_proj.weight")));
        // Each tensor at most once.
        std::vector<std::size_t> members;
        for (const auto& pair : pairs)
            members.insert(members.end(), {pair.producer, pair.consumer});
        std::sort(members.begin(), members.end());
        QVERIFY(std::adjacent_find(members.begin(), members.end()) == members.end());
        QCOMPARE(equalizationPairs(tests::gguf()).size(), std::size_t(4));
    }

    void pairsOfOthers()
    {
        const auto experts = equalizationPairs(tests::mixtral(4));
        QCOMPARE(experts.size(), std::size_t(2 * (1 + 4)));
        QVERIFY(equalizationPairs(tests::gpt2()).empty());                       // GELU, fused qkv
        QCOMPARE(equalizationPairs(tests::gguf({}, 4)).size(), std::size_t(2));  // stacks: v → o alone
        auto norms = tests::llama();
        tests::addTensor(norms, "model.layers.0.mlp.ffn_sub_norm.weight", {172});
        tests::addTensor(norms, "model.layers.1.self_attn.attn_sub_norm.weight", {64});
        const auto pairs = equalizationPairs(norms);
        QCOMPARE(pairs.size(), std::size_t(2));
        QCOMPARE(namesOf(norms, pairs[0]),
            std::string("model.layers.0.self_attn.v_proj.weight > model.layers.0.self_attn.o_proj.weight"));
        auto unknownHeads = tests::llama();
        unknownHeads.config.heads.reset();
        QCOMPARE(equalizationPairs(unknownHeads).size(), std::size_t(2));  // up → down alone
    }

    // Afterwards both sides of each channel have the same range, and the product of the matrices is what it was.
    void equalizes()
    {
        constexpr std::size_t inputs = 24;
        const auto model = tests::llama();
        for (const auto& pair : equalizationPairs(model)) {
            const std::size_t columns = model.tensors[pair.consumer].matrix.columns;
            auto producer = tests::syntheticWeights(pair.channels, inputs, 3);
            auto consumer = tests::syntheticWeights(16, columns, 4);
            for (std::size_t i = 0; i < inputs; ++i)
                producer[2 * inputs + i] = 0.0F;  // a channel that is not there
            const auto factors =
                equalizationFactors(pair, rowMaxima(producer, inputs), columnMaxima(consumer, columns));
            QCOMPARE(factors.producerRows.size(), pair.channels);
            QCOMPARE(factors.consumerColumns.size(), columns);
            QCOMPARE(factors.producerRows[2], 1.0F);
            QCOMPARE(factors.consumerColumns[2], 1.0F);
            const auto product = [&](std::size_t o, std::size_t i) {
                double sum = 0.0;
                for (std::size_t c = 0; c < columns; ++c)
                    sum += double(consumer[o * columns + c]) * double(producer[pair.channelOf(c) * inputs + i]);
                return sum;
            };
            const double before = product(3, 5);
            for (std::size_t i = 0; i < producer.size(); ++i)
                producer[i] *= factors.producerRows[i / inputs];
            for (std::size_t i = 0; i < consumer.size(); ++i)
                consumer[i] *= factors.consumerColumns[i % columns];
            QVERIFY(std::abs(product(3, 5) - before) < 1e-6 * std::abs(before) + 1e-9);
            const auto rows = rowMaxima(producer, inputs);
            std::vector<float> readers(pair.channels);
            const auto maxima = columnMaxima(consumer, columns);
            for (std::size_t c = 0; c < columns; ++c)
                readers[pair.channelOf(c)] = std::max(readers[pair.channelOf(c)], maxima[c]);
            for (std::size_t i = 0; i < pair.channels; ++i)
                QVERIFY(i == 2 || std::abs(rows[i] - readers[i]) < 1e-6F * rows[i]);
        }
    }

    void awkwardMaxima()
    {
        const EqualizationPair pair {0, 1, 3};
        const auto factors =
            equalizationFactors(pair, std::vector<float> {3e38F, 0.0F, 4.0F}, std::vector<float> {1e-45F, 1.0F, 1.0F});
        QCOMPARE(factors.producerRows, (std::vector<float> {0x1p-60F, 1.0F, 0.5F}));
        QCOMPARE(factors.consumerColumns, (std::vector<float> {0x1p60F, 1.0F, 2.0F}));
    }
};

QTEST_APPLESS_MAIN(TestEqualization)
#include "tst_equalization.moc"
