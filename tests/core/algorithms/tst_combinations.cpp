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
            {"int4:g64+gptq", "activations"}, {"int4:g64+awq", "activations"}, {"int4:g64+smooth", "activations"},
            {"int4:g64+adaround", "activations"}, {"int4:g64+cd", "activations"}, {"int4:g64+qat", "activations"},
            {"q4_k+imatrix", "activations"}, {"int4:g64+hadamard+gptq", "algorithm gptq needs"}};
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
