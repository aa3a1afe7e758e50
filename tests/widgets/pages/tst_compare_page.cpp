// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/analysis/audit.h"
#include "core/file_formats/file_format.h"
#include "tests/support/screenshots.h"
#include "tests/widgets/pages/small_model.h"
#include "widgets/models/audit_model.h"
#include "widgets/models/comparison_model.h"
#include "widgets/pages/compare_page.h"
#include "widgets/pages/recipe_comparison.h"
#include "widgets/plots/dumbbell_plot.h"
#include "widgets/support/format_text.h"
#include "widgets/support/qcustomplot.h"
#include "widgets/theme/theme.h"

#include <QAbstractItemModelTester>
#include <QDir>
#include <QLabel>
#include <QMenu>
#include <QPushButton>
#include <QTableView>
#include <QTest>
#include <QToolButton>

#include <algorithm>
#include <cmath>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

/// The small model with every float rounded to FP8's grid by hand (three bits of mantissa), one norm left out.
/// `decibels` gets the SQNR of each tensor.
QString writeRounded(const QTemporaryDir& folder, const QString& original, QHash<QString, double>& decibels)
{
    QFile file(original);
    if (!file.open(QIODevice::ReadOnly))
        return {};
    const auto bytes = file.readAll();
    quint64 length = 0;
    std::memcpy(&length, bytes.constData(), sizeof length);
    const auto header = QJsonDocument::fromJson(bytes.mid(8, qsizetype(length))).object();
    const char* data = bytes.constData() + 8 + length;
    QJsonObject made;
    QByteArray packed;
    for (auto it = header.begin(); it != header.end(); ++it) {
        if (it.key() == QLatin1String("__metadata__") || it.key() == QLatin1String("model.norm.weight"))
            continue;
        const auto offsets = it.value().toObject()["data_offsets"].toArray();
        const auto begin = packed.size();
        double signal = 0.0, noise = 0.0;
        for (auto at = offsets[0].toInteger(); at < offsets[1].toInteger(); at += 4) {
            float weight = 0.0F;
            std::memcpy(&weight, data + at, sizeof weight);
            // E4M3: the exponent field of 1.0 is 7; all weights here are far from overflow.
            int exponent = 0;
            std::frexp(weight, &exponent);
            exponent = std::max(exponent - 1, -6);
            const auto steps = static_cast<int>(std::lrint(std::abs(weight) / std::ldexp(1.0F, exponent - 3)));
            const int code = steps < 8 ? steps
                : steps == 16          ? (exponent + 8) << 3
                                       : ((exponent + 7) << 3) | (steps - 8);
            const double error = static_cast<double>(std::abs(weight)) - steps * std::ldexp(1.0, exponent - 3);
            signal += static_cast<double>(weight) * static_cast<double>(weight);
            noise += error * error;
            packed.append(static_cast<char>((std::signbit(weight) ? 0x80 : 0) | code));
        }
        decibels[it.key()] = 10.0 * std::log10(signal / noise);
        made[it.key()] = QJsonObject {{"dtype", "F8_E4M3"}, {"shape", it.value().toObject()["shape"]},
            {"data_offsets", QJsonArray {begin, packed.size()}}};
    }
    const auto json = QJsonDocument(made).toJson(QJsonDocument::Compact);
    const auto path = folder.filePath(QStringLiteral("rounded.safetensors"));
    QFile out(path);
    if (!out.open(QIODevice::WriteOnly))
        return {};
    const auto size = static_cast<quint64>(json.size());
    out.write(reinterpret_cast<const char*>(&size), sizeof size);
    out.write(json);
    out.write(packed);
    return path;
}

}  // namespace

class TestComparePage : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void initTestCase() { QLocale::setDefault(QLocale::c()); }

    void asksForAModelFirst()
    {
        QTemporaryDir folder;
        qputenv("QUANTLOUPE_DATA", folder.path().toLocal8Bit());
        Workbench workbench;
        ComparePage page(&workbench);
        QVERIFY(!page.findChild<QPushButton*>(QStringLiteral("compare-file"))->isEnabled());
        QVERIFY(!page.findChild<QPushButton*>(QStringLiteral("save-table"))->isEnabled());
        page.compareWith(QStringLiteral("/nowhere"));
        QVERIFY(!workbench.jobs()->isBusy());
    }

    void showsWhatBecameOfEachLayer()
    {
        QTemporaryDir folder;
        const auto workbench = openedWorkbench(folder, llamaTensors(2, 64));
        QVERIFY(workbench);
        QHash<QString, double> decibels;
        const auto rounded = writeRounded(folder, workbench->modelPath(), decibels);
        ComparePage page(workbench.get());
        page.resize(1000, 760);
        page.show();
        QVERIFY(QTest::qWaitForWindowExposed(&page));
        page.compareWith(rounded);
        auto* table = page.findChild<QTableView*>(QStringLiteral("audit"));
        QTRY_VERIFY_WITH_TIMEOUT(table->model()->rowCount() > 0, 60000);
        QAbstractItemModelTester tester(table->model(), QAbstractItemModelTester::FailureReportingMode::QtTest);

        const auto quantized = openModel(rounded.toStdString());
        QVERIFY(quantized);
        Progress progress;
        const auto expected = audit(*workbench->model(), **quantized, {.threads = 1}, {}, progress);
        QVERIFY(expected);
        const auto rows = expected->tensors.size() + expected->missing.size() + expected->extra.size();
        QCOMPARE(table->model()->rowCount(), static_cast<int>(rows));
        for (std::size_t row = 0; row < expected->tensors.size(); ++row) {
            const auto value = [&](int column, int role) {
                return table->model()->index(static_cast<int>(row), column).data(role);
            };
            const auto& tensor = expected->tensors[row];
            QCOMPARE(value(AuditModel::Tensor, Qt::DisplayRole).toString(), QString::fromStdString(tensor.original));
            QCOMPARE(value(AuditModel::Sqnr, AuditModel::ValueRole).toDouble(), tensor.error.sqnrDb());
            QCOMPARE(value(AuditModel::Bits, AuditModel::ValueRole).toDouble(), 8.0);
            QVERIFY2(std::abs(tensor.error.sqnrDb() - decibels.value(QString::fromStdString(tensor.original))) < 1e-6,
                tensor.original.c_str());
        }
        const auto last = table->model()->rowCount() - 1;
        QCOMPARE(
            table->model()->index(last, AuditModel::Tensor).data().toString(), QStringLiteral("model.norm.weight"));
        QCOMPARE(table->model()->index(last, AuditModel::Verdict).data().toString(), QStringLiteral("missing"));
        QVERIFY(page.findChild<QLabel*>(QStringLiteral("summary"))->text().contains(QStringLiteral("1 missing")));

        auto* plot = page.findChild<DumbbellPlot*>(QStringLiteral("audit-plot"));
        QVERIFY(plot->hasData());
        const auto dots = plot->table();
        QCOMPARE(dots.rows.size(), qsizetype(expected->count(AuditVerdict::Quantized)) - 2);  // norms are no bars
        QTRY_VERIFY(plot->isVisible());
        auto* canvas = plot->findChild<QCustomPlot*>();
        QTest::mouseClick(canvas, Qt::LeftButton, {}, plot->pointOf(1).toPoint());
        QTRY_COMPARE(workbench->currentTensor(), dots.rows.at(1).at(0).toString());

        table->sortByColumn(AuditModel::Sqnr, Qt::DescendingOrder);
        QCOMPARE(table->model()->index(last, AuditModel::Verdict).data().toString(), QStringLiteral("missing"));
        if (const auto shots = qEnvironmentVariable("QUANTLOUPE_SCREENSHOTS"); !shots.isEmpty())
            QVERIFY(page.grab().save(QDir(shots).filePath(QStringLiteral("compare-page.png"))));
    }

    /// Two recipes by what was measured, and again when the recipe changes.
    void recipesSideBySide()
    {
        QTemporaryDir folder;
        const auto workbench = openedWorkbench(folder, llamaTensors(2, 64));
        QVERIFY(workbench);
        const auto four = Scheme::parse("int4:g32").value(), eight = Scheme::parse("int8").value();
        workbench->setSweep({four, eight});
        QTRY_VERIFY_WITH_TIMEOUT(!workbench->isAnalyzing() && !workbench->study()->measurements.empty(), 60000);
        workbench->setDefaultScheme(four);
        ComparePage page(workbench.get());
        page.resize(1080, 720);
        page.show();
        QVERIFY(QTest::qWaitForWindowExposed(&page));
        auto* menu = page.findChild<QToolButton*>(QStringLiteral("compare-recipe"))->menu();
        QMetaObject::invokeMethod(menu, "aboutToShow");
        const auto actions = menu->actions();
        const auto entry = std::find_if(actions.begin(), actions.end(),
            [](const QAction* action) { return action->text() == QLatin1String("int8"); });
        QVERIFY(entry != actions.end());
        (*entry)->trigger();
        auto* table = page.findChild<QTableView*>(QStringLiteral("recipes"));
        QTRY_VERIFY_WITH_TIMEOUT(table->model()->rowCount() > 0, 20000);
        QAbstractItemModelTester tester(table->model(), QAbstractItemModelTester::FailureReportingMode::QtTest);

        const auto study = workbench->study();
        auto other = Recipe::uniform(eight, study->model);
        other.keep = workbench->recipe().keep;
        const auto plan = resolve(other, study->model);
        const auto value = [&](int row, int column) {
            return table->model()->index(row, column).data(ComparisonModel::ValueRole);
        };
        QCOMPARE(table->model()->rowCount(), 14);  // seven matrices in each of two blocks
        std::uint64_t bytes = 0;
        for (int row = 0; row < table->model()->rowCount(); ++row) {
            const auto name = value(row, ComparisonModel::Tensor).toString().toStdString();
            QCOMPARE(value(row, ComparisonModel::FirstScheme).toString(), QStringLiteral("int4:g32"));
            QCOMPARE(value(row, ComparisonModel::SecondScheme).toString(), QStringLiteral("int8"));
            QCOMPARE(value(row, ComparisonModel::FirstSqnr).toDouble(), study->find(name, "int4:g32")->error.sqnrDb());
            QCOMPARE(value(row, ComparisonModel::SecondSqnr).toDouble(), study->find(name, "int8")->error.sqnrDb());
            bytes += value(row, ComparisonModel::SecondBytes).toULongLong();
        }
        std::uint64_t quantized = 0;
        for (const auto& planned : plan.tensors)
            quantized += planned.scheme ? planned.bytes : 0;
        QCOMPARE(bytes, quantized);
        const auto summary = [&] { return page.findChild<QLabel*>(QStringLiteral("recipe-summary"))->text(); };
        QVERIFY(summary().contains(format::bytes(plan.bytes)));
        for (const auto mode : {ThemeMode::Light, ThemeMode::Dark}) {
            Theme::instance().setMode(mode);
            QTest::qWait(200);
            saveScreenshot(page.grab(),
                QStringLiteral("page_recipes_%1")
                    .arg(mode == ThemeMode::Dark ? QStringLiteral("dark") : QStringLiteral("light")));
        }
        Theme::instance().setMode(ThemeMode::Light);

        // The recipe follows: one tensor in eight bits differs no more.
        workbench->setScheme({QStringLiteral("model.layers.0.mlp.up_proj.weight")}, eight);
        QTRY_COMPARE(table->model()->rowCount(), 13);
        // A recipe that was saved before, and this study by its file.
        const auto file = folder.filePath(QStringLiteral("other.recipe.json"));
        QVERIFY(workbench->saveRecipe(file).isEmpty());
        workbench->setDefaultScheme(eight);
        auto* recipes = page.findChild<RecipeComparison*>();
        recipes->compareWithFile(file);
        QTRY_COMPARE(recipes->otherName(), QStringLiteral("other.recipe.json"));
        QTRY_COMPARE(table->model()->rowCount(), 13);
        QSignalSpy failed(workbench.get(), &Workbench::failed);
        recipes->compareWithFile(folder.filePath(QStringLiteral("absent.h5")));
        QTRY_COMPARE_WITH_TIMEOUT(failed.count(), 1, 20000);
    }

    void cancellingLeavesNothingBehind()
    {
        QTemporaryDir folder;
        const auto workbench = openedWorkbench(folder, llamaTensors(2, 64));
        QVERIFY(workbench);
        QHash<QString, double> decibels;
        const auto rounded = writeRounded(folder, workbench->modelPath(), decibels);
        ComparePage page(workbench.get());
        const auto says = [&](const QString& text) {
            const auto labels = page.findChildren<QLabel*>();
            return std::any_of(
                labels.begin(), labels.end(), [&](const QLabel* label) { return label->text().startsWith(text); });
        };
        page.compareWith(rounded);
        QVERIFY(says(QStringLiteral("Comparing with")));
        workbench->jobs()->cancelAll();
        QTRY_VERIFY_WITH_TIMEOUT(!workbench->jobs()->isBusy(), 20000);
        QVERIFY(!says(QStringLiteral("Comparing with")));
        QVERIFY(says(QStringLiteral("Choose a quantized checkpoint")));

        // Recipes take the place of an audit that still runs, and keep it when that has ended.
        page.compareWith(rounded);
        auto* recipes = page.findChild<RecipeComparison*>();
        recipes->compareWithScheme(QStringLiteral("int8"));
        QVERIFY(recipes->isVisibleTo(&page));
        QTRY_VERIFY_WITH_TIMEOUT(!workbench->jobs()->isBusy(), 20000);
        QVERIFY(recipes->isVisibleTo(&page));
        QVERIFY(says(QStringLiteral("Current recipe, and int8")));
    }

    void tellsWhyItCannot()
    {
        QTemporaryDir folder;
        const auto workbench = openedWorkbench(folder, llamaTensors(1, 64));
        QVERIFY(workbench);
        ComparePage page(workbench.get());
        QSignalSpy failed(workbench.get(), &Workbench::failed);
        page.compareWith(folder.filePath(QStringLiteral("absent.gguf")));
        QTRY_COMPARE_WITH_TIMEOUT(failed.count(), 1, 20000);
        QVERIFY(failed.first().at(1).toString().contains(QStringLiteral("absent.gguf")));
        QVERIFY(page.findChild<QLabel*>(QStringLiteral("checkpoint"))->text().isEmpty());
    }
};

QTEST_MAIN(TestComparePage)
#include "tst_compare_page.moc"
