// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/algorithms/combinations.h"

#include <QTest>

using namespace quantloupe;

class TestCombinations : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void refusals_data()
    {
        QTest::addColumn<QString>("refusal");  // a part of it; empty: allowed
        const std::pair<const char*, const char*> rows[] = {{"int4:g64", ""}, {"int4:g64+hadamard", ""},
            {"int3:g64:asymf+hqq", ""}, {"int8:tensor+cle", ""}, {"int4:g128+biascorr", ""},
            {"int4:channel:asymf+cle+hadamard+hqq+biascorr", ""}, {"nf4+hadamard", ""}, {"mxfp4+hadamard+biascorr", ""},
            {"q4_k+hadamard", ""}, {"ternary+biascorr", ""}, {"fp8_e4m3:tensor:mse+cle", ""},
            {"int3:g64+hqq", "write asymf"}, {"int3:g64:asym+hqq", "write asymf"}, {"nf4+hqq", "nf4 has no zero point"},
            {"int3:g64:asymf:mse+hqq", "in the place of range mse"}, {"int3:tensor:asymf+hqq", "groups or channels"},
            {"int4:g64+hadamard+cle", "write +cle+hadamard"}, {"fp16+hadamard", "fp16 has no scale"},
            {"int4:g64+gptq", "needs calibration"}, {"int4:g64+awq", "needs calibration"},
            {"int4:g64+smooth", "needs calibration"}, {"int4:g64+adaround", "needs calibration"},
            {"int4:g64+cd", "needs calibration"}, {"int4:g64+qat", "algorithm qat needs calibration"},
            {"q4_k+imatrix", "weighs by it whatever searches"}, {"int4:g64+hadamard+gptq", "algorithm gptq needs"}};
        for (const auto& [scheme, refusal] : rows)
            QTest::newRow(scheme) << QString(refusal);
    }
    void refusals()
    {
        QFETCH(const QString, refusal);
        const auto scheme = Scheme::parse(QTest::currentDataTag());
        QVERIFY2(scheme, scheme ? "" : describe(scheme.error()).c_str());
        const QString reason = QString::fromStdString(algorithmRefusal(*scheme));
        QVERIFY2(refusal.isEmpty() == reason.isEmpty(), qPrintable(reason));
        QVERIFY2(reason.contains(refusal), qPrintable(reason));
    }

    void withCalibration_data()
    {
        QTest::addColumn<QString>("refusal");
        const std::pair<const char*, const char*> rows[] = {{"int4:g64:asym:mse+gptq", ""}, {"nf4+gptq", ""},
            {"mxfp4+gptq", ""}, {"nvfp4+gptq", ""}, {"ternary+gptq", ""}, {"int4:g32:asymf+cd", ""},
            {"int3:g64+cd", ""}, {"int4:g64+hadamard+gptq+biascorr", ""}, {"int4:g64:asymf+hqq+gptq", ""},
            {"int4:g64:asym+awq", ""}, {"int4:g64:asym+awq+gptq", ""}, {"int4:g64:asymf+awq+cd", ""},
            {"int8+smooth", ""}, {"q4_k+smooth", ""}, {"int8+smooth+hadamard+gptq", ""}, {"int3:g64+adaround", ""},
            {"q4_k+imatrix", ""}, {"lut4+imatrix", ""}, {"int4:g64:mse+imatrix+gptq", ""}, {"int4:g64+biascorr", ""},
            {"q4_k+gptq", "q4_k finds scales and codes"}, {"lut4+gptq", "lut4 finds scales and codes"},
            {"int4:g64+gptq+adaround", "one of them"}, {"int4:g64+gptq+cd", "write +cd without +gptq"},
            {"int4:g64:asymf+hqq+cd", "in the place of hqq"}, {"nf4+cd", "nf4 takes gptq"},
            {"int4:g64:mse+cd", "in the place of range mse"}, {"int4:g64:s8+cd", "write s16 or s32"},
            {"int4:tensor+cd", "groups or channels"}, {"int4:g64+awq+smooth", "one of them"},
            {"int4:g64+awq+hadamard", "one of them"}, {"int4:g64:mse+awq", "in the place of range mse"},
            {"int4:tensor+awq", "groups or channels"}, {"q4_k+awq", "q4_k finds scales"},
            {"nf4+adaround", "nf4 takes gptq"}, {"int4:g64+imatrix", "write mse"},
            {"int4:g64+cle+gptq", "equalize first"}, {"int4:g64+hadamard+smooth", "write +smooth+hadamard"},
            {"fp16+gptq", "fp16 has no scale"}, {"int3:g64+qat", ""}, {"int3:g64:asym+hadamard+qat", ""},
            {"int3:g64:asymf+smooth+qat+biascorr", ""}, {"int4:g64:asymf+hqq+qat", ""},
            {"int4:g64:mse+imatrix+qat", ""}, {"nf4+qat", ""}, {"mxfp4+qat", ""}, {"int4:tensor+qat", ""},
            {"int4:g64+gptq+qat", "begins from them: one of them"},
            {"int4:g64+cd+qat", "begins from them: one of them"}, {"int4:g64+adaround+qat", "adaround chooses: one"},
            {"int4:b16x16+qat", "write channel or a group"}, {"q4_k+qat", "q4_k finds scales and codes"},
            {"int4:g64+qat+cle", "equalize first"}, {"fp16+qat", "fp16 has no scale"}};
        for (const auto& [scheme, refusal] : rows)
            QTest::newRow(scheme) << QString(refusal);
    }
    void withCalibration()
    {
        QFETCH(const QString, refusal);
        const auto scheme = Scheme::parse(QTest::currentDataTag());
        QVERIFY2(scheme, scheme ? "" : describe(scheme.error()).c_str());
        const QString reason = QString::fromStdString(algorithmRefusal(*scheme, Calibration::Given));
        QVERIFY2(refusal.isEmpty() == reason.isEmpty(), qPrintable(reason));
        QVERIFY2(reason.contains(refusal), qPrintable(reason));
    }

    void uses()
    {
        const auto scheme = Scheme::parse("int4:g64+cle+hadamard");
        QVERIFY(quantloupe::uses(*scheme, Algorithm::Hadamard));
        QVERIFY(quantloupe::uses(*scheme, Algorithm::Equalization));
        QVERIFY(!quantloupe::uses(*scheme, Algorithm::Hqq));
    }

    void twice()
    {
        Scheme scheme = Scheme::of(Format::Int4);
        scheme.algorithms = {Algorithm::Hadamard, Algorithm::Hadamard};
        QCOMPARE(algorithmRefusal(scheme), std::string("algorithm hadamard is there twice"));
    }
};

QTEST_APPLESS_MAIN(TestCombinations)
#include "tst_combinations.moc"
