// SPDX-License-Identifier: GPL-3.0-or-later
// The scheme editor: everything that makes sense can be picked, and nothing else.
#include "core/analysis/analyze.h"
#include "widgets/docks/scheme_choices.h"
#include "widgets/docks/scheme_editor.h"
#include "widgets/docks/scheme_more_menu.h"

#include <QAction>
#include <QComboBox>
#include <QLineEdit>
#include <QSignalSpy>
#include <QTest>
#include <QPushButton>

#include <random>
#include <set>

using quantloupe::Format;
using quantloupe::requireBuilt;
using quantloupe::Scheme;

namespace {

Scheme scheme(const char* text)
{
    return *Scheme::parse(text);
}

QComboBox* combo(const SchemeEditor& editor, const char* name)
{
    return editor.findChild<QComboBox*>(QString::fromLatin1(name));
}

void choose(QComboBox* combo, int index)
{
    combo->setCurrentIndex(index);
    Q_EMIT combo->activated(index);
}

void choose(QComboBox* combo, const QString& text)
{
    const int index = combo->findText(text);
    QVERIFY2(index >= 0, qPrintable(text));
    choose(combo, index);
}

QAction* action(const SchemeEditor& editor, const QString& text)
{
    for (auto* each : editor.findChild<SchemeMoreMenu*>()->actions())
        if (each->text().section(u'\t', 0, 0) == text)
            return each;
    return nullptr;
}

QStringList entries(const QComboBox* combo)
{
    QStringList texts;
    for (int i = 0; i < combo->count(); ++i)
        texts << combo->itemText(i);
    return texts;
}

}  // namespace

class TestSchemeEditor : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void speaksTheNotation_data()
    {
        QTest::addColumn<QString>("given");
        for (const auto* text : {"int8", "int4:g32:asym:mse", "int3:g48", "nf4:g64", "fp16", "fp8_e4m3:tensor",
                 "ternary", "int6:channel:symf:p99.5", "q4_k", "mxfp4+hadamard", "lut4:g512:s32", "int4:b16x16:s8",
                 "int4:b24x8", "int4:asymf+cle+hadamard+hqq+biascorr", "int8:channel:entropy:se8m0"})
            QTest::addRow("%s", text) << QString::fromLatin1(text);
    }
    void speaksTheNotation()
    {
        QFETCH(const QString, given);
        SchemeEditor editor;
        QSignalSpy edited(&editor, &SchemeEditor::edited);
        const auto wanted = *Scheme::parse(given.toStdString());
        editor.setScheme(wanted);
        QCOMPARE(edited.size(), 0);
        QCOMPARE(editor.scheme(), wanted);
        // A hand that chooses what is shown already changes nothing.
        for (auto* combo : editor.findChildren<QComboBox*>())
            if (combo->isEnabled())
                Q_EMIT combo->activated(combo->currentIndex());
        QCOMPARE(edited.size(), 0);
        QCOMPARE(editor.scheme(), wanted);
    }

    void everyFormatIsOfferedOnce()
    {
        const SchemeEditor editor;
        std::multiset<int> offered;
        int headings = 0;
        for (int i = 0; i < combo(editor, "format")->count(); ++i) {
            const auto data = combo(editor, "format")->itemData(i);
            if (data.isValid())
                offered.insert(data.toInt());
            else
                ++headings;
        }
        QCOMPARE(headings, 8);
        for (const auto format : quantloupe::allFormats())
            QCOMPARE(offered.count(static_cast<int>(format)), requireBuilt(Scheme::of(format)) ? 1u : 0u);
    }

    void keepsWhatTheHandChose()
    {
        SchemeEditor editor;
        editor.setScheme(scheme("int4:g32:asym:mse:s32+hadamard"));
        choose(combo(editor, "format"), QStringLiteral("int8"));
        QCOMPARE(editor.scheme(), scheme("int8:g32:asym:mse:s32+hadamard"));
        choose(combo(editor, "granularity"), QStringLiteral("16 × 16"));
        QCOMPARE(editor.scheme(), scheme("int8:b16x16:asym:mse:s32+hadamard"));
        choose(combo(editor, "format"), QStringLiteral("nf4"));
        QCOMPARE(editor.scheme(), scheme("nf4:b16x16:mse:s32+hadamard"));
        // A table serves no blocks, and finds its levels itself.
        choose(combo(editor, "format"), QStringLiteral("lut3"));
        QCOMPARE(editor.scheme(), scheme("lut3:s32+hadamard"));
        choose(combo(editor, "format"), QStringLiteral("q4_k"));
        QCOMPARE(editor.scheme(), scheme("q4_k+hadamard"));
        for (const auto* part : {"granularity", "symmetry", "range"})
            QVERIFY(!combo(editor, part)->isEnabled());
        choose(combo(editor, "format"), QStringLiteral("bf16"));
        QCOMPARE(editor.scheme(), scheme("bf16"));
    }

    void offersOnlyWhatGoesTogether()
    {
        SchemeEditor editor;
        editor.setScheme(scheme("int4:g32"));
        QVERIFY(!entries(combo(editor, "range")).contains(QStringLiteral("entropy")));
        QVERIFY(!action(editor, QStringLiteral("hqq"))->isEnabled());
        QVERIFY(action(editor, QStringLiteral("hqq"))->toolTip().contains(QStringLiteral("asymf")));
        choose(combo(editor, "granularity"), QStringLiteral("per channel"));
        QVERIFY(entries(combo(editor, "range")).contains(QStringLiteral("entropy")));
        choose(combo(editor, "symmetry"), QStringLiteral("asymf"));
        action(editor, QStringLiteral("hqq"))->trigger();
        QCOMPARE(editor.scheme(), scheme("int4:channel:asymf+hqq"));
        QCOMPARE(entries(combo(editor, "range")), QStringList {QStringLiteral("min–max")});
        QCOMPARE(entries(combo(editor, "symmetry")), QStringList {QStringLiteral("asymf")});
        // Equalization comes before the rotation, whichever was chosen first.
        action(editor, QStringLiteral("hadamard"))->trigger();
        action(editor, QStringLiteral("cle"))->trigger();
        QCOMPARE(editor.scheme(), scheme("int4:channel:asymf+cle+hadamard+hqq"));
        QVERIFY(editor.findChild<QPushButton*>(QStringLiteral("more"))->text().contains(u'3'));
        action(editor, QStringLiteral("hqq"))->trigger();
        QCOMPARE(editor.scheme(), scheme("int4:channel:asymf+cle+hadamard"));
    }

    void scaleStorageIsChosenInTheMenu()
    {
        SchemeEditor editor;
        editor.setScheme(scheme("int4+biascorr"));
        action(editor, textOf(quantloupe::ScaleStorage::Double8))->trigger();
        QTRY_COMPARE(editor.scheme(), scheme("int4:s8+biascorr"));
        // A floating minimum is not stored as such.
        QVERIFY(!entries(combo(editor, "symmetry")).contains(QStringLiteral("asymf")));
        QCOMPARE(action(editor, textOf(quantloupe::ScaleStorage::Double8))->isChecked(), true);
    }

    void takesATypedScheme()
    {
        SchemeEditor editor;
        QSignalSpy edited(&editor, &SchemeEditor::edited);
        auto* line = editor.findChild<SchemeMoreMenu*>()->findChild<QLineEdit*>();
        for (const auto* wrong : {"int4:", "int9", "int4+hqq", "nf4:entropy", "int4+gptq"}) {
            line->setText(QString::fromLatin1(wrong));
            Q_EMIT line->returnPressed();
            QCOMPARE(edited.size(), 0);
        }
        line->setText(QStringLiteral(" uint4:g64:asym:p99.5+hadamard "));
        Q_EMIT line->returnPressed();
        QCOMPARE(edited.size(), 1);
        QCOMPARE(editor.scheme(), scheme("uint4:g64:p99.5+hadamard"));
        QCOMPARE(combo(editor, "range")->currentText(), QStringLiteral("p99.5"));
    }

    /// Whatever a hand does, the scheme makes sense and is what the notation says of it.
    void noHandMakesNonsense()
    {
        std::mt19937 random(7);
        const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
        SchemeEditor editor;
        std::set<Format> seen;
        for (int step = 0; step < 3000; ++step) {
            const auto before = editor.scheme();
            if (below(4) == 0) {
                const auto actions = editor.findChild<SchemeMoreMenu*>()->actions();
                auto* any = actions[below(static_cast<int>(actions.size()))];
                if (any->isEnabled() && any->isVisible() && any->isCheckable())
                    any->trigger();
                QCoreApplication::processEvents();
            } else {
                const auto combos = editor.findChildren<QComboBox*>();
                auto* any = combos[below(static_cast<int>(combos.size()))];
                const int index = any->isEnabled() ? below(any->count()) : -1;
                if (index < 0 || !(any->model()->flags(any->model()->index(index, 0)) & Qt::ItemIsEnabled))
                    continue;
                choose(any, index);
            }
            const auto& now = editor.scheme();
            seen.insert(now.format);
            const auto text = now.toString();
            QVERIFY2(requireBuilt(now), text.c_str());
            QVERIFY2(Scheme::parse(text) == now, text.c_str());
            if (now.format == before.format)
                QVERIFY2(now.scales == before.scales || now.algorithms == before.algorithms, text.c_str());
        }
        QVERIFY(seen.size() > 40);
    }

    /// Where the layers' inputs are known, on grids; in the place of what also chooses codes.
    void layerWiseTraining()
    {
        SchemeEditor editor;
        editor.setScheme(scheme("int3:g64"));
        const auto* hidden = action(editor, QStringLiteral("qat"));
        QVERIFY(hidden == nullptr || !hidden->isVisible());
        editor.setCalibration(quantloupe::Calibration::Given);
        auto* training = action(editor, QStringLiteral("qat"));
        QVERIFY(training != nullptr && training->isVisible() && training->isEnabled());
        QVERIFY(training->text().endsWith(QStringLiteral("layer-wise training")));
        training->trigger();
        QCOMPARE(editor.scheme().toString(), std::string("int3:g64+qat"));
        for (const char* other : {"gptq", "cd", "adaround"}) {
            const auto* refused = action(editor, QString::fromLatin1(other));
            QVERIFY2(refused != nullptr && !refused->isEnabled(), other);
            QVERIFY2(refused->toolTip().contains(QStringLiteral("qat")), qPrintable(refused->toolTip()));
        }
        editor.setScheme(scheme("q4_k"));
        const auto* packed = action(editor, QStringLiteral("qat"));
        QVERIFY(packed != nullptr && !packed->isEnabled());
        QVERIFY(packed->toolTip().contains(QStringLiteral("q4_k finds scales and codes")));
    }
};

QTEST_MAIN(TestSchemeEditor)
#include "tst_scheme_editor.moc"
