// SPDX-License-Identifier: GPL-3.0-or-later
// Activations on the Layer page: nothing before calibration, its figures afterwards.
#include "core/file_formats/file_format.h"
#include "tests/support/screenshots.h"
#include "tests/support/shared_data.h"
#include "widgets/pages/elided_label.h"
#include "widgets/pages/layer_page.h"
#include "widgets/plots/activation_plot.h"
#include "widgets/theme/theme.h"
#include "widgets/workbench/workbench.h"

#include <QComboBox>
#include <QScrollArea>
#include <QSignalSpy>
#include <QTemporaryDir>
#include <QTest>

using quantloupe::Scheme;
namespace tests = quantloupe::tests;

namespace {

constexpr int patience = 120'000;  // milliseconds; the machine may be busy
const QString gate = QStringLiteral("model.layers.2.mlp.gate_proj.weight");
const QString norm = QStringLiteral("model.layers.2.input_layernorm.weight");

bool settled(const Workbench& workbench)
{
    return QTest::qWaitFor([&] { return !workbench.isAnalyzing() && !workbench.jobs()->isBusy(); }, patience);
}

QString textsOf(const LayerPage& page)
{
    QString texts;
    for (const auto* label : page.findChildren<ElidedLabel*>())
        texts += label->text() + u'\n';
    return texts;
}

}  // namespace

class TestLayerPageInputs : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void initTestCase() { QLocale::setDefault(QLocale::c()); }

    void calibrationShows()
    {
        const auto llm = tests::corpus() / "llm" / "stories260K" / "hf";
        QUANTLOUPE_NEED(llm);
        QTemporaryDir folder;
        QVERIFY(folder.isValid());
        qputenv("QUANTLOUPE_DATA", folder.path().toUtf8());
        Workbench workbench;
        workbench.setSweep({Scheme::parse("int8").value()});
        QSignalSpy opened(&workbench, &Workbench::modelChanged);
        workbench.openModel(QString::fromStdString(llm.string()));
        QVERIFY(opened.size() > 0 || opened.wait(patience));
        LayerPage page(&workbench);
        page.resize(1000, 760);
        page.show();
        QVERIFY(QTest::qWaitForWindowExposed(&page));
        workbench.select({gate});
        const auto* plot = page.findChild<ActivationPlot*>();
        QVERIFY(!plot->hasData());
        QVERIFY(!textsOf(page).contains(QStringLiteral("127 steps")));

        QSignalSpy failed(&workbench, &Workbench::failed);
        workbench.calibrate(
            QString::fromStdString((tests::corpus() / "text" / "tinystories_val_A.txt").string()), 2048);
        QVERIFY(settled(workbench));
        QVERIFY2(failed.isEmpty(), qPrintable(failed.value(0).value(1).toString()));
        QTRY_VERIFY(plot->hasData());
        const auto* known = workbench.study()->calibration.find(gate.toStdString());
        QVERIFY(known);
        const auto table = plot->table();
        QCOMPARE(table.rows.size(), 64);
        for (int i = 0; i < 64; ++i) {
            QCOMPARE(table.rows.at(i).at(0).toInt(), i);
            QCOMPARE(table.rows.at(i).at(1).toFloat(), known->inputs.absMax(std::size_t(i)));
        }
        QVERIFY2(textsOf(page).contains(QStringLiteral("of 127 steps")), qPrintable(textsOf(page)));

        for (auto* combo : page.findChildren<QComboBox*>())
            if (combo->findText(QStringLiteral("Loudest first")) >= 0)
                combo->setCurrentIndex(combo->findText(QStringLiteral("Loudest first")));
        const auto sorted = plot->table();
        for (int i = 1; i < 64; ++i)
            QVERIFY(sorted.rows.at(i - 1).at(1).toFloat() >= sorted.rows.at(i).at(1).toFloat());
        for (const auto mode : {ThemeMode::Light, ThemeMode::Dark}) {
            Theme::instance().setMode(mode);
            page.findChild<QScrollArea*>()->ensureWidgetVisible(page.findChild<ActivationPlot*>());
            QTest::qWait(100);
            tests::saveScreenshot(
                page.grab(), QStringLiteral("layer-inputs-") + (mode == ThemeMode::Dark ? "dark" : "light"));
        }
        Theme::instance().setMode(ThemeMode::Light);

        // Nobody multiplies by a norm.
        workbench.select({norm});
        QTRY_VERIFY(!plot->hasData());
        QVERIFY(!textsOf(page).contains(QStringLiteral("127 steps")));
        workbench.select({gate});
        QTRY_VERIFY(plot->hasData());
    }
};

QTEST_MAIN(TestLayerPageInputs)
#include "tst_layer_page_inputs.moc"
