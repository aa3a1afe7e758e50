// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/widgets/pages/small_model.h"
#include "widgets/models/findings_model.h"
#include "widgets/pages/model_card.h"
#include "widgets/pages/overview_page.h"
#include "widgets/plots/size_by_role_plot.h"
#include "widgets/plots/weight_range_plot.h"
#include "widgets/theme/theme.h"

#include <QAbstractItemModelTester>
#include <QDir>
#include <QLabel>
#include <QScrollArea>
#include <QTableView>
#include <QTest>

#include <set>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

QString allText(const QWidget& widget)
{
    QStringList texts;
    for (const auto* label : widget.findChildren<QLabel*>())
        if (!label->isHidden())
            texts << label->text();
    return texts.join(u'\n').replace(QChar::Nbsp, u' ').replace(QChar(0x202f), u' ');
}

int colorsOf(QWidget& widget)
{
    const auto image = widget.grab().toImage();
    std::set<QRgb> colors;
    for (int y = 0; y < image.height(); y += 2)
        for (int x = 0; x < image.width(); x += 2)
            colors.insert(image.pixel(x, y));
    return static_cast<int>(colors.size());
}

void wear(ThemeMode mode)
{
    Theme::instance().setMode(mode);
    QCoreApplication::processEvents();
}

std::unique_ptr<OverviewPage> shownPage(Workbench& workbench, QSize size = {980, 720})
{
    auto page = std::make_unique<OverviewPage>(&workbench);
    page->resize(size);
    page->show();
    return QTest::qWaitForWindowExposed(page.get()) ? std::move(page) : nullptr;
}

}  // namespace

class TestOverviewPage : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void initTestCase() { QLocale::setDefault(QLocale::c()); }
    void init() { wear(ThemeMode::Light); }

    void saysWhatToDoWithoutAModel()
    {
        QTemporaryDir folder;
        qputenv("QUANTLOUPE_DATA", folder.path().toLocal8Bit());
        Workbench workbench;
        const auto page = shownPage(workbench);
        QVERIFY(allText(*page).contains(QStringLiteral("Open a model")));
        QVERIFY(!page->findChild<ModelCard*>()->isVisible());
    }

    void showsTheModel()
    {
        QTemporaryDir folder;
        const auto workbench = openedWorkbench(folder, llamaTensors(3, 64));
        QVERIFY(workbench);
        const auto page = shownPage(*workbench);
        const auto* card = page->findChild<ModelCard*>();
        QVERIFY(card->isVisible());
        // 256×64 embedding, three blocks of 4×64² + 3×2×64² + 64, a norm of 64.
        const std::uint64_t parameters = 256 * 64 + 3 * (10 * 64 * 64 + 64) + 64;
        QCOMPARE(workbench->catalog().parameters(), parameters);
        const auto text = allText(*card);
        for (const auto* expected : {"small-model.safetensors", "llama", "140 K", "F32 (26)", "545 KiB", "Synthetic"})
            QVERIFY2(text.contains(QLatin1String(expected)), qPrintable(text));
        QCOMPARE(page->findChild<SizeByRolePlot*>()->table().rows.size(), 9);
    }

    void rangesFindingsAndLinksFollowTheStudy()
    {
        QTemporaryDir folder;
        const auto workbench = openedWorkbench(folder, llamaTensors(3, 64));
        QVERIFY(workbench);
        const auto page = shownPage(*workbench);
        auto* ranges = page->findChild<WeightRangePlot*>();
        QVERIFY(!ranges->hasData());
        workbench->setSweep({Scheme::parse("int4:g32").value(), Scheme::parse("int8").value()});
        workbench->analyze();
        QTRY_COMPARE_WITH_TIMEOUT(ranges->table().rows.size(), 22, 20000);
        auto* table = page->findChild<QTableView*>();
        QTRY_VERIFY(table->model()->rowCount() > 0);

        // Every down_proj has a channel that carries the error.
        QSignalSpy requested(workbench.get(), &Workbench::layerRequested);
        int row = 0;
        while (row < table->model()->rowCount()
            && !table->model()->index(row, FindingsModel::Tensor).data().toString().contains("down_proj"))
            ++row;
        QVERIFY(row < table->model()->rowCount());
        const auto link = table->model()->index(row, FindingsModel::Tensor);
        table->scrollTo(link);
        QTest::mouseClick(table->viewport(), Qt::LeftButton, {}, table->visualRect(link).center());
        QCOMPARE(requested.count(), 1);
        QCOMPARE(workbench->currentTensor(), link.data().toString());

        // Once nothing else is computed, what would help is tried and said.
        Progress progress;
        const auto cured = findingsWithCures(*workbench->model(), *workbench->study(), {}, progress);
        QVERIFY(cured && *cured != findingsOf(*workbench->study()));
        const auto* model = page->findChild<FindingsModel*>();
        const auto showsCures = [&] {
            for (std::size_t i = 0; i < cured->size(); ++i)
                if (model->index(static_cast<int>(i), FindingsModel::Text).data().toString()
                    != QString::fromStdString((*cured)[i].text))
                    return false;
            return model->rowCount() == static_cast<int>(cured->size());
        };
        QTRY_VERIFY_WITH_TIMEOUT(showsCures(), 30000);

        // A hidden page catches up when it is shown.
        page->hide();
        workbench->select({});
        workbench->closeModel();
        page->show();
        QVERIFY(allText(*page).contains(QStringLiteral("Open a model")));
    }

    void rendersInBothThemes()
    {
        QTemporaryDir folder;
        const auto workbench = openedWorkbench(folder, llamaTensors(6, 96));
        QVERIFY(workbench);
        workbench->analyze();
        QTRY_VERIFY_WITH_TIMEOUT(!workbench->isAnalyzing(), 60000);
        workbench->select({QStringLiteral("model.layers.2.mlp.down_proj.weight")});
        const auto images = qEnvironmentVariable("QUANTLOUPE_SCREENSHOTS");
        for (const auto mode : {ThemeMode::Light, ThemeMode::Dark}) {
            wear(mode);
            const auto page = shownPage(*workbench);
            auto* table = page->findChild<QTableView*>();
            QTRY_VERIFY(table->model()->rowCount() > 0);
            QTest::qWait(50);
            QVERIFY(colorsOf(*page) > 40);
            if (!images.isEmpty() && QDir().mkpath(images)) {
                const auto suffix = QString::fromLatin1(mode == ThemeMode::Dark ? "dark" : "light");
                page->grab().save(QStringLiteral("%1/overview-%2.png").arg(images, suffix));
                page->findChild<QScrollArea*>()->widget()->grab().save(
                    QStringLiteral("%1/overview-whole-%2.png").arg(images, suffix));
            }
        }
    }

    void staysQuickWithAThousandTensors()
    {
        QTemporaryDir folder;
        const auto workbench = openedWorkbench(folder, llamaTensors(143, 8));
        QVERIFY(workbench);
        QVERIFY(workbench->catalog().tensors.size() > 1000);
        const auto page = shownPage(*workbench);
        workbench->setSweep({Scheme::parse("int8").value()});
        workbench->analyze();
        QTRY_VERIFY_WITH_TIMEOUT(page->findChild<WeightRangePlot*>()->table().rows.size() > 1000, 60000);
    }

    void findingsModelObeysTheContract()
    {
        FindingsModel model;
        QAbstractItemModelTester tester(&model, QAbstractItemModelTester::FailureReportingMode::QtTest);
        model.setFindings({{"a", "31 weights are NaN", 1000.0, {}}, {"b", "heavy tails", 7.5, "int4"}});
        QCOMPARE(model.rowCount(), 2);
        QCOMPARE(model.index(0, FindingsModel::Severity).data().toString(), QStringLiteral("broken"));
        QCOMPARE(model.index(1, FindingsModel::Severity).data().toString(), QStringLiteral("7.5"));
        QCOMPARE(model.index(1, FindingsModel::Severity).data(FindingsModel::ValueRole).toDouble(), 7.5);
        QCOMPARE(model.index(1, FindingsModel::Text).data(FindingsModel::TensorRole).toString(), QStringLiteral("b"));
        QSignalSpy reset(&model, &QAbstractItemModel::modelReset);
        model.setFindings({{"a", "31 weights are NaN", 1000.0, {}}, {"b", "heavy tails", 7.5, "int4"}});
        QCOMPARE(reset.count(), 0);
        model.setFindings({});
        QCOMPARE(model.rowCount(), 0);
    }
};

QTEST_MAIN(TestOverviewPage)
#include "tst_overview_page.moc"
