// SPDX-License-Identifier: GPL-3.0-or-later
#include "checkpoint_fixture.h"
#include "tests/support/onnx_file.h"

#include <QTest>

#include <cmath>

using namespace quantloupe;
using namespace quantloupe::tests;

class TestOnnxQdq : public QObject
{
    Q_OBJECT
    CheckpointFolder m_source, m_target;

    static std::string transB() { return attribute("transB", 1); }

    ModelPointer modelOf(const std::vector<float>& gemm, const std::vector<float>& product) const
    {
        OnnxBuilder builder;
        builder.tensor("gemm.weight", 1, {24, 32}, gemm).tensor("product.weight", 1, {24, 40}, product);
        builder.tensor("bias", 1, {24}, randomWeights(24, 3));
        builder.node("Gemm", {"x", "gemm.weight", "bias"}, "y", transB(), "gemm");
        builder.node("MatMul", {"y", "product.weight"}, "z", {}, "product");
        const auto model = openModel(m_source.write("model.onnx", builder.file()));
        return model ? *model : nullptr;
    }

private Q_SLOTS:
    void weightsStandBehindTheirCodes_data()
    {
        QTest::addColumn<QString>("scheme");
        QTest::newRow("by channel") << "int8:channel:sym:s32";
        QTest::newRow("zero points") << "int8:channel:asym:s32";
        QTest::newRow("tensor") << "int8:tensor:symf:s32";
    }
    void weightsStandBehindTheirCodes()
    {
        QFETCH(QString, scheme);
        const auto gemm = randomWeights(24 * 32, 1), product = randomWeights(24 * 40, 2);
        const auto model = modelOf(gemm, product);
        QVERIFY(model);
        const auto out = m_target.path() / (std::string(QTest::currentDataTag()) + ".onnx");
        const auto written = exportTo("onnx-qdq", requestFor(model, recipeOf(scheme.toStdString())), out);
        QVERIFY2(written, written ? "" : qPrintable(QString::fromStdString(describe(written.error()))));
        const auto again = openModel(out);
        QVERIFY(again);
        // MatMul has its output channels last: transposed, the rows are what is quantized.
        std::vector<float> turned(product.size());
        for (std::size_t in = 0; in < 24; ++in)
            for (std::size_t column = 0; column < 40; ++column)
                turned[column * 24 + in] = product[in * 40 + column];
        const auto first = valuesIn(**again, "gemm.weight_quantized"),
                   second = valuesIn(**again, "product.weight_quantized");
        if (!scheme.contains("tensor")) {
            QCOMPARE(first, fakeQuantized(scheme.toStdString(), {"", {24, 32}, gemm}));
            QCOMPARE(second, fakeQuantized(scheme.toStdString(), {"", {40, 24}, turned}));
        }
        for (std::size_t i = 0; i < gemm.size(); ++i)
            QVERIFY(std::abs(first[i] - gemm[i]) < 0.002F);
        for (std::size_t i = 0; i < turned.size(); ++i)
            QVERIFY(std::abs(second[i] - turned[i]) < 0.002F);
        QCOMPARE(valuesIn(**again, "bias"), randomWeights(24, 3));
        QVERIFY(std::filesystem::file_size(out) < std::filesystem::file_size(model->files.front()));
    }

    void fourBitsInPairs()
    {
        const auto model = modelOf(randomWeights(24 * 32, 1), randomWeights(24 * 40, 2));
        QVERIFY(model);
        for (const auto* scheme : {"int4:g16:symf:s32", "int4:g16:asym:s32"}) {
            auto recipe = recipeOf(scheme);
            recipe.keep = {"product*"};
            const auto out = m_target.path() / (std::string(scheme) + ".onnx");
            const auto written = exportTo("onnx-qdq", requestFor(model, recipe), out);
            QVERIFY2(written, written ? "" : qPrintable(QString::fromStdString(describe(written.error()))));
            const auto again = openModel(out);
            QVERIFY(again);
            QCOMPARE(valuesIn(**again, "gemm.weight_quantized"),
                fakeQuantized(scheme, {"", {24, 32}, randomWeights(24 * 32, 1)}));
        }
    }

    void refusals()
    {
        const auto model = modelOf(randomWeights(24 * 32, 1), randomWeights(24 * 40, 2));
        QVERIFY(model);
        for (const auto* scheme : {"int4:g16", "nf4", "int8:channel:asymf", "int8:b8x8"}) {
            const auto draft = findCheckpointTarget("onnx-qdq")->draft(requestFor(model, recipeOf(scheme)));
            QVERIFY2(!draft, scheme);  // int4: the other weight has its output channels last
            QCOMPARE(draft.error().code, ErrorCode::Unsupported);
        }
        CheckpointFolder other;
        const auto plain = openModel(other.write("model.safetensors", safetensorsOf({randomMatrix("w", {4, 4}, 1)})));
        QVERIFY(plain && !findCheckpointTarget("onnx-qdq")->draft(requestFor(*plain, recipeOf("int8"))));
    }
};

QTEST_GUILESS_MAIN(TestOnnxQdq)
#include "tst_onnx_qdq.moc"
