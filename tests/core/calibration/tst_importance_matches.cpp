// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/calibration/importance_matches.h"

#include <QTest>

#include <numeric>

using namespace quantloupe;

namespace {

ModelTensor tensor(const std::string& name, Shape shape)
{
    ModelTensor made;
    made.name = name;
    made.parts = readName(name);
    made.view.shape = std::move(shape);
    return made;
}

/// 1, 2, 3, … as means.
ImportanceEntry entry(const std::string& name, std::uint64_t columns, std::size_t matrices = 1, bool legacy = false)
{
    ImportanceEntry made {name, std::vector<float>(columns * matrices), {}, legacy ? 0 : columns};
    std::iota(made.squares.begin(), made.squares.end(), 1.0F);
    made.counts.assign(legacy ? 1 : matrices, 1.0F);
    return made;
}

Model modelOf(std::vector<ModelTensor> tensors)
{
    Model model;
    model.config.architecture = "llama";
    model.tensors = std::move(tensors);
    return model;
}

ImportanceMatches match(const Model& model, const std::vector<ImportanceEntry>& entries)
{
    std::vector<std::size_t> all(model.tensors.size());
    std::iota(all.begin(), all.end(), std::size_t(0));
    return matchImportance(model, {entries}, all);
}

}  // namespace

class TestImportanceMatches : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void names_data()
    {
        QTest::addColumn<QByteArray>("tensor");
        QTest::addColumn<QByteArray>("entry");
        QTest::newRow("both GGUF") << QByteArray("blk.3.attn_q.weight") << QByteArray("blk.3.attn_q.weight");
        QTest::newRow("both HF") << QByteArray("model.layers.3.mlp.up_proj.weight")
                                 << QByteArray("model.layers.3.mlp.up_proj.weight");
        QTest::newRow("HF and GGUF") << QByteArray("model.layers.3.self_attn.o_proj.weight")
                                     << QByteArray("blk.3.attn_output.weight");
        QTest::newRow("GGUF and HF") << QByteArray("blk.11.ffn_down.weight")
                                     << QByteArray("model.layers.11.mlp.down_proj.weight");
        QTest::newRow("head") << QByteArray("lm_head.weight") << QByteArray("output.weight");
        QTest::newRow("nobody's") << QByteArray("thing.weight") << QByteArray("thing.weight");
    }

    void names()
    {
        QFETCH(const QByteArray, tensor);
        QFETCH(const QByteArray, entry);
        const auto model = modelOf({::tensor(tensor.toStdString(), {2, 3})});
        const auto matches = match(model, {::entry("blk.9.attn_q.weight", 3), ::entry(entry.toStdString(), 3)});
        QCOMPARE(matches.weighed, std::size_t(1));
        QVERIFY(matches.warnings.empty());
        QVERIFY(matches.model.tensors[0].importance);
        QCOMPARE(matches.model.tensors[0].importance->values, (std::vector<float> {1, 2, 3}));
        QCOMPARE(matches.model.tensors[0].importance->slices, std::uint64_t(1));
        QVERIFY(!model.tensors[0].importance);
    }

    void stackOfExperts()
    {
        const auto model = modelOf({tensor("blk.0.ffn_up_exps.weight", {2, 5, 3})});
        for (const bool legacy : {false, true}) {
            const auto matches = match(model, {entry("blk.0.ffn_up_exps.weight", 3, 2, legacy)});
            QCOMPARE(matches.weighed, std::size_t(1));
            const auto& importance = *matches.model.tensors[0].importance;
            QCOMPARE(importance.slices, std::uint64_t(2));
            QCOMPARE(importance.values, (std::vector<float> {1, 2, 3, 4, 5, 6}));
        }
    }

    void expertTakesItsSlice()
    {
        const auto model = modelOf({tensor("model.layers.0.mlp.experts.1.up_proj.weight", {5, 3}),
            tensor("model.layers.0.mlp.experts.2.up_proj.weight", {5, 3})});
        for (const bool legacy : {false, true}) {
            const auto matches = match(model, {entry("blk.0.ffn_up_exps.weight", 3, 2, legacy)});
            QCOMPARE(matches.model.tensors[0].importance->values, (std::vector<float> {4, 5, 6}));
            QVERIFY(!matches.model.tensors[1].importance);
            QCOMPARE(matches.warnings.size(), std::size_t(1));
        }
    }

    void whatDoesNotFit()
    {
        const auto model = modelOf({tensor("blk.0.attn_q.weight", {2, 3}), tensor("blk.0.attn_k.weight", {2, 3}),
            tensor("blk.0.attn_v.weight", {2, 3}), tensor("blk.1.ffn_up_exps.weight", {2, 5, 3})});
        const auto matches = match(model,
            {entry("blk.0.attn_q.weight", 4), entry("blk.0.attn_k.weight", 3, 2),
                entry("blk.1.ffn_up_exps.weight", 3, 3)});
        QCOMPARE(matches.weighed, std::size_t(0));
        for (const auto& own : matches.model.tensors)
            QVERIFY(!own.importance);
        QCOMPARE(matches.warnings.size(), std::size_t(4));
        QVERIFY(matches.warnings[0].find("blk.0.attn_q.weight has 3 columns") == 0);
        QVERIFY(matches.warnings[0].find("4 values") != std::string::npos);
        QVERIFY(matches.warnings[3].find("no entry for 1 tensor") != std::string::npos);
        QVERIFY(matches.warnings[3].find("blk.0.attn_v.weight") != std::string::npos);
    }

    void differentValuesDifferentFingerprints()
    {
        const auto one = makeColumnImportance({1, 2, 3, 4}), other = makeColumnImportance({1, 2, 3, 5});
        QVERIFY(one->fingerprint != 0 && one->fingerprint != other->fingerprint);
        QVERIFY(makeColumnImportance({1, 2, 3, 4}, 2)->fingerprint != one->fingerprint);
        QVERIFY(*makeColumnImportance({1, 2, 3, 4}) == *one);
        const std::vector<std::uint64_t> rows {0, 3};
        QCOMPARE(importanceOfRows(makeColumnImportance({1, 2, 3, 4}, 2), 4, rows)->values,
            (std::vector<float> {1, 2, 3, 4}));
        QCOMPARE(importanceOfRows(one, 4, rows), one);
    }
};

QTEST_APPLESS_MAIN(TestImportanceMatches)
#include "tst_importance_matches.moc"
