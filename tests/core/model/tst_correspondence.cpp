// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/model/correspondence.h"
#include "core/model/rotary_order.h"

#include <QTest>

using namespace quantloupe;

namespace {

using Tensors = QList<QPair<QByteArray, QList<int>>>;

Model modelOf(const Tensors& tensors, const char* architecture = "llama")
{
    Model model;
    model.config.architecture = architecture;
    for (const auto& [name, extents] : tensors) {
        ModelTensor tensor;
        tensor.name = name.toStdString();
        tensor.parts = readName(tensor.name);
        for (const int extent : extents)
            tensor.view.shape.push_back(std::uint64_t(extent));
        model.tensors.push_back(std::move(tensor));
    }
    return model;
}

const QByteArray kBlock = "model.layers.2.";

}  // namespace

class TestCorrespondence : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    /// pairs: {original, other, first row, first row of the other, rows}.
    void finds_data()
    {
        QTest::addColumn<Tensors>("original");
        QTest::addColumn<Tensors>("other");
        QTest::addColumn<QList<QList<int>>>("pairs");
        QTest::addColumn<QList<int>>("missing");
        QTest::addColumn<QList<int>>("extra");
        using Pairs = QList<QList<int>>;
        QTest::newRow("same names, another order")
            << Tensors {{"a", {2, 3}}, {"b", {4}}} << Tensors {{"b", {4}}, {"a", {2, 3}}}
            << Pairs {{0, 1, 0, 0, 2}, {1, 0, 0, 0, 1}} << QList<int> {} << QList<int> {};
        QTest::newRow("both worlds") << Tensors {{kBlock + "self_attn.o_proj.weight", {4, 4}},
            {"model.norm.weight", {4}}}
                                     << Tensors {{"output_norm.weight", {4}}, {"blk.2.attn_output.weight", {4, 4}},
                                            {"rope_freqs.weight", {2}}}
                                     << Pairs {{0, 1, 0, 0, 4}, {1, 0, 0, 0, 1}} << QList<int> {} << QList {2};
        const Tensors split {{kBlock + "self_attn.q_proj.weight", {8, 4}}, {kBlock + "self_attn.k_proj.weight", {2, 4}},
            {kBlock + "self_attn.v_proj.weight", {2, 4}}};
        const Tensors fused {{"blk.2.attn_qkv.weight", {12, 4}}};
        QTest::newRow("split, fused") << split << fused << Pairs {{0, 0, 0, 0, 8}, {1, 0, 0, 8, 2}, {2, 0, 0, 10, 2}}
                                      << QList<int> {} << QList<int> {};
        QTest::newRow("fused, split") << fused << split << Pairs {{0, 0, 0, 0, 8}, {0, 1, 8, 0, 2}, {0, 2, 10, 0, 2}}
                                      << QList<int> {} << QList<int> {};
        QTest::newRow("fused of another size")
            << split << Tensors {{"blk.2.attn_qkv.weight", {13, 4}}} << Pairs {} << QList {0, 1, 2} << QList {0};
        QTest::newRow("Phi-3's gate and up, which GGUF calls up")
            << Tensors {{kBlock + "mlp.gate_up_proj.weight", {12, 4}}} << Tensors {{"blk.2.ffn_up.weight", {12, 4}}}
            << Pairs {{0, 0, 0, 0, 12}} << QList<int> {} << QList<int> {};
        const Tensors gates {{kBlock + "mlp.up_proj.weight", {6, 4}}, {kBlock + "mlp.gate_proj.weight", {6, 4}}};
        QTest::newRow("gate first, then up")
            << gates << Tensors {{kBlock + "mlp.gate_up_proj.weight", {12, 4}}}
            << Pairs {{0, 0, 0, 6, 6}, {1, 0, 0, 0, 6}} << QList<int> {} << QList<int> {};
        const Tensors experts {{kBlock + "block_sparse_moe.experts.1.w1.weight", {3, 4}},
            {kBlock + "block_sparse_moe.experts.0.w1.weight", {3, 4}}};
        QTest::newRow("experts in a stack")
            << experts << Tensors {{"blk.2.ffn_gate_exps.weight", {2, 3, 4}}}
            << Pairs {{0, 0, 0, 3, 3}, {1, 0, 0, 0, 3}} << QList<int> {} << QList<int> {};
        QTest::newRow("an expert beyond the stack") << experts << Tensors {{"blk.2.ffn_gate_exps.weight", {1, 3, 4}}}
                                                    << Pairs {{1, 0, 0, 0, 3}} << QList {0} << QList<int> {};
        QTest::newRow("a stack of experts")
            << Tensors {{"blk.2.ffn_gate_exps.weight", {2, 3, 4}}} << experts
            << Pairs {{0, 1, 0, 0, 3}, {0, 0, 3, 0, 3}} << QList<int> {} << QList<int> {};
        QTest::newRow("tied in the original")
            << Tensors {{"model.embed_tokens.weight", {9, 4}}}
            << Tensors {{"token_embd.weight", {9, 4}}, {"output.weight", {9, 4}}}
            << Pairs {{0, 0, 0, 0, 9}, {0, 1, 0, 0, 9}} << QList<int> {} << QList<int> {};
        QTest::newRow("tied in the other")
            << Tensors {{"model.embed_tokens.weight", {9, 4}}, {"lm_head.weight", {9, 4}}}
            << Tensors {{"token_embd.weight", {9, 4}}} << Pairs {{0, 0, 0, 0, 9}, {1, 0, 0, 0, 9}} << QList<int> {}
            << QList<int> {};
        QTest::newRow("nothing in common")
            << Tensors {{"a", {2}}} << Tensors {{"b", {2}}} << Pairs {} << QList {0} << QList {0};
    }

    void finds()
    {
        QFETCH(const Tensors, original);
        QFETCH(const Tensors, other);
        QFETCH(const QList<QList<int>>, pairs);
        QFETCH(const QList<int>, missing);
        QFETCH(const QList<int>, extra);
        const auto found = findCorrespondence(modelOf(original), modelOf(other));
        QList<QList<int>> read;
        for (const auto& pair : found.pairs)
            read.append(QList<int> {
                int(pair.original), int(pair.other), int(pair.firstRow), int(pair.otherFirstRow), int(pair.rows)});
        QCOMPARE(read, pairs);
        QCOMPARE(QList<int>(found.missing.begin(), found.missing.end()), missing);
        QCOMPARE(QList<int>(found.extra.begin(), found.extra.end()), extra);
        QVERIFY(found.mismatched.empty());
    }

    void mismatchedShapes()
    {
        const auto found = findCorrespondence(
            modelOf({{kBlock + "mlp.down_proj.weight", {4, 6}}}), modelOf({{"blk.2.ffn_down.weight", {6, 4}}}));
        QVERIFY((found.mismatched == std::vector<ShapeMismatch> {{0, 0}}));
        QVERIFY(found.pairs.empty() && found.missing.empty() && found.extra.empty());
    }

    /// As the converters write it: HF[h·d + j] = meta[h·d + 2j], HF[h·d + d/2 + j] = meta[h·d + 2j + 1].
    void rotaryOrders()
    {
        constexpr std::uint64_t heads = 3, size = 8;
        const auto pairs = rowsInOtherRotaryOrder(heads * size, size, RotaryOrder::Halves);
        const auto halves = rowsInOtherRotaryOrder(heads * size, size, RotaryOrder::Pairs);
        for (std::uint64_t head = 0; head < heads; ++head)
            for (std::uint64_t j = 0; j < size / 2; ++j) {
                QCOMPARE(pairs[head * size + j], head * size + 2 * j);
                QCOMPARE(pairs[head * size + size / 2 + j], head * size + 2 * j + 1);
            }
        for (std::uint64_t row = 0; row < heads * size; ++row)
            QCOMPARE(halves[pairs[row]], row);
    }
};

QTEST_APPLESS_MAIN(TestCorrespondence)
#include "tst_correspondence.moc"
