// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/study/error_metric.h"
#include "core/report/five_numbers.h"
#include "tests/support/synthetic_study.h"

#include <QTest>

#include <cmath>

using namespace quantloupe;

class ErrorMetricTest : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void values_data()
    {
        QTest::addColumn<int>("metric");
        QTest::addColumn<double>("expected");
        // w = {3, −4}, ŵ = {2.5, −3}: errors 0.5 and −1, Σw² = 25, Σ(w−ŵ)² = 1.25.
        QTest::newRow("sqnr") << int(ErrorMetric::Sqnr) << 10.0 * std::log10(25.0 / 1.25);
        QTest::newRow("relative") << int(ErrorMetric::RelativeError) << 0.05;
        QTest::newRow("mse") << int(ErrorMetric::MeanSquared) << 0.625;
        QTest::newRow("max") << int(ErrorMetric::MaxAbs) << 1.0;
        QTest::newRow("of a model with ten times the energy") << int(ErrorMetric::ModelError) << 0.005;
        QTest::newRow("of the outputs") << int(ErrorMetric::OutputError) << 0.05;
        QTest::newRow("a quarter of the reference's output error") << int(ErrorMetric::OnePointKl) << 0.05;
        QTest::newRow("by squared gradients") << int(ErrorMetric::Fisher) << 0.6;
        QTest::newRow("by Kronecker factors") << int(ErrorMetric::Kfac) << 0.65;
        QTest::newRow("measured") << int(ErrorMetric::MeasuredKl) << 0.7;
    }
    void values()
    {
        QFETCH(int, metric);
        QFETCH(double, expected);
        SchemeMeasurement measured;
        measured.error.count = 2;
        measured.error.signalEnergy = 25.0;
        measured.error.errorEnergy = 1.25;
        measured.error.maxAbsError = 1.0;
        measured.outputError = {.energy = 3.0, .signal = 60.0};
        measured.divergence = {.mean = 0.7, .predictions = 9};
        measured.predicted = {.kfac = 0.65, .fisher = 0.6};
        SchemeMeasurement reference;
        reference.outputError = {.energy = 12.0, .signal = 60.0};
        reference.divergence = {.mean = 0.2, .predictions = 9};
        const SchemeMeasurements all {{"int3:g32", std::make_shared<const SchemeMeasurement>(reference)}};
        const MetricContext context {250.0, "int3:g32"};
        QVERIFY(std::abs(valueOf(ErrorMetric(metric), all, measured, context) - expected) < 1e-12);
        QVERIFY(std::isnan(valueOf(ErrorMetric(metric), all, SchemeMeasurement {}, context)));
    }

    void modelErrorsAddUp()
    {
        const StudySnapshot study = tests::syntheticStudy(3);
        const auto context = metricContext(study);
        double expectedSignal = 0.0, error = 0.0, sum = 0.0;
        for (const CatalogTensor& tensor : study.model.tensors) {
            if (const auto* measurement = study.find(tensor.name, "int4:g32")) {
                expectedSignal += study.findWeights(tensor.name)->moments.sum2;
                error += measurement->error.errorEnergy;
                sum += valueOf(ErrorMetric::ModelError, study.of(tensor.name), *measurement, context);
            }
        }
        QVERIFY(expectedSignal > 0.0);
        QVERIFY(std::abs(context.signalEnergy / expectedSignal - 1.0) < 1e-12);
        QVERIFY(std::abs(sum / (error / expectedSignal) - 1.0) < 1e-12);
    }

    /// What was measured is best, then what gradients say, then what one point says.
    void bestOfThoseThatMostHave()
    {
        StudySnapshot study = tests::syntheticStudy(2, {"int4:g32"});
        QCOMPARE(bestMetric(study), ErrorMetric::ModelError);
        const auto give = [&](const auto& change) {
            for (const CatalogTensor& tensor : study.model.tensors)
                if (const auto* known = study.find(tensor.name, "int4:g32")) {
                    auto measurement = *known;
                    change(measurement);
                    study.add({tensor.name, *study.findWeights(tensor.name), {measurement}});
                }
        };
        give([](SchemeMeasurement& one) { one.predicted.kfac = 0.1; });
        QCOMPARE(bestMetric(study), ErrorMetric::Kfac);
        QVERIFY(predictsKl(bestMetric(study)) && addsUp(bestMetric(study)));
        give([](SchemeMeasurement& one) { one.divergence = {.mean = 0.1, .predictions = 3}; });
        QCOMPARE(bestMetric(study), ErrorMetric::MeasuredKl);
    }

    void harshestCommonScheme()
    {
        StudySnapshot study = tests::syntheticStudy(2, {"int8", "int4:g32"});
        QCOMPARE(*referenceScheme(study), std::string("int4:g32"));
        // Harsher still, but measured on one tensor only.
        const CatalogTensor& tensor = study.model.tensors.front();
        const WeightStatistics weights = tests::syntheticWeights(tensor);
        study.add({tensor.name, weights, {tests::syntheticMeasurement(tensor, weights, tests::scheme("int2:g32"))}});
        QCOMPARE(*referenceScheme(study), std::string("int4:g32"));
        QVERIFY(!referenceScheme(StudySnapshot {}));
    }

    void quartiles_data()
    {
        QTest::addColumn<QList<double>>("values");
        QTest::addColumn<QList<double>>("expected");
        const double unknown = std::nan(""), infinite = INFINITY;
        // numpy.quantile(values, [0, .25, .5, .75, 1]), whose default is the same definition.
        QTest::newRow("one") << QList<double> {3} << QList<double> {3, 3, 3, 3, 3};
        QTest::newRow("two") << QList<double> {4, 2} << QList<double> {2, 2.5, 3, 3.5, 4};
        QTest::newRow("five") << QList<double> {5, 1, 4, 2, 3} << QList<double> {1, 2, 3, 4, 5};
        QTest::newRow("six, one of them far away")
            << QList<double> {1, 2, 3, 4, 5, 100} << QList<double> {1, 2.25, 3.5, 4.75, 100};
        QTest::newRow("infinite ones left out")
            << QList<double> {unknown, 4, infinite, 2} << QList<double> {2, 2.5, 3, 3.5, 4};
    }
    void quartiles()
    {
        QFETCH(QList<double>, values);
        QFETCH(QList<double>, expected);
        const FiveNumbers numbers = fiveNumbers({values.begin(), values.end()});
        QCOMPARE((QList<double> {
                     numbers.minimum, numbers.lowerQuartile, numbers.median, numbers.upperQuartile, numbers.maximum}),
            expected);
        QVERIFY(std::isnan(fiveNumbers({}).median));
    }

    void depthOrder()
    {
        StudySnapshot study = tests::syntheticStudy(11);
        // As in files whose names are sorted: the head first, block 10 before block 2.
        std::sort(study.model.tensors.begin(), study.model.tensors.end(),
            [](const CatalogTensor& left, const CatalogTensor& right) { return left.name < right.name; });
        QCOMPARE(study.model.tensors.front().name, std::string("lm_head.weight"));
        const auto order = measuredInDepthOrder(study);
        QCOMPARE(order.size(), std::size_t {11 * 7 + 2});
        QCOMPARE(study.model.tensors[order.front()].name, std::string("model.embed_tokens.weight"));
        QCOMPARE(study.model.tensors[order.back()].name, std::string("lm_head.weight"));
        for (std::size_t i = 2; i + 1 < order.size(); ++i)
            QVERIFY(*study.model.tensors[order[i - 1]].parts.block <= *study.model.tensors[order[i]].parts.block);
    }
};

QTEST_GUILESS_MAIN(ErrorMetricTest)
#include "tst_error_metric.moc"
