// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/theme/color_maps.h"
#include "widgets/theme/fonts.h"
#include "widgets/theme/icons.h"
#include "widgets/theme/plot_theme.h"
#include "widgets/theme/theme.h"

#include <QCheckBox>
#include <QFontMetricsF>
#include <QSignalSpy>
#include <QTest>

#include <cmath>
#include <set>

namespace {

/// WCAG 2.1 relative luminance and contrast ratio.
double luminance(const QColor& color)
{
    const auto linear = [](double c) { return c <= 0.03928 ? c / 12.92 : std::pow((c + 0.055) / 1.055, 2.4); };
    return 0.2126 * linear(color.redF()) + 0.7152 * linear(color.greenF()) + 0.0722 * linear(color.blueF());
}

double contrast(const QColor& a, const QColor& b)
{
    const auto [low, high] = std::minmax({luminance(a), luminance(b)});
    return (high + 0.05) / (low + 0.05);
}

/// Qt tells widgets of a new palette by posted events.
void wear(ThemeMode mode)
{
    Theme::instance().setMode(mode);
    QCoreApplication::processEvents();
}

class Listener final : public QWidget
{
public:
    int paletteChanges = 0;

protected:
    void changeEvent(QEvent* event) override
    {
        paletteChanges += event->type() == QEvent::PaletteChange;
        QWidget::changeEvent(event);
    }
};

}  // namespace

class TestTheme : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void switchesAtRunTime()
    {
        Listener widget;
        widget.show();
        QSignalSpy changed(&Theme::instance(), &Theme::changed);
        wear(ThemeMode::Dark);
        QVERIFY(Theme::instance().dark());
        QVERIFY(isDark(widget.palette()));
        const int before = widget.paletteChanges;
        wear(ThemeMode::Light);
        QVERIFY(!Theme::instance().dark());
        QVERIFY(widget.paletteChanges > before);
        QCOMPARE(changed.count(), 2);
        Theme::instance().setMode(ThemeMode::System);
        QCOMPARE(Theme::instance().mode(), ThemeMode::System);
    }

    void isLegible_data()
    {
        QTest::addColumn<bool>("dark");
        QTest::newRow("light") << false;
        QTest::newRow("dark") << true;
    }
    void isLegible()
    {
        QFETCH(const bool, dark);
        const auto palette = dark ? darkPalette() : lightPalette();
        for (const auto background : {QPalette::Window, QPalette::Base, QPalette::AlternateBase, QPalette::Button})
            QVERIFY(contrast(palette.color(QPalette::Text), palette.color(background)) > 7.0);
        QVERIFY(contrast(palette.color(QPalette::HighlightedText), palette.color(QPalette::Highlight)) > 3.0);
        QVERIFY(contrast(palette.color(QPalette::Link), palette.color(QPalette::Base)) > 4.5);
        const auto theme = PlotTheme::of(palette);
        QVERIFY(contrast(theme.mutedText, theme.background) > 4.5);
        QVERIFY(contrast(theme.accent, theme.background) > 3.0);
        for (const auto& color : theme.series)
            QVERIFY2(contrast(color, theme.background) > 2.7, qPrintable(color.name()));
    }

    /// Fusion's own outlines vanish on dark windows.
    void checkBoxHasAVisibleOutline_data() { isLegible_data(); }
    void checkBoxHasAVisibleOutline()
    {
        QFETCH(const bool, dark);
        wear(dark ? ThemeMode::Dark : ThemeMode::Light);
        QCheckBox box;
        box.resize(40, 24);
        const auto image = box.grab().toImage();
        const auto window = box.palette().color(QPalette::Window);
        double best = 1.0;
        for (int x = 0; x < image.width(); ++x)
            best = std::max(best, contrast(image.pixelColor(x, image.height() / 2), window));
        const double inside = contrast(box.palette().color(QPalette::Base), window);
        QVERIFY2(best > 1.5 || inside > 1.3, qPrintable(QString::number(best)));
    }

    void rolesAreToldApart_data() { isLegible_data(); }
    void rolesAreToldApart()
    {
        QFETCH(const bool, dark);
        std::set<QRgb> colors;
        std::set<QString> names;
        for (const auto role : rolesInOrder()) {
            colors.insert(roleColor(role, dark).rgb());
            names.insert(roleText(role));
        }
        QCOMPARE(colors.size(), std::size_t(16));
        QCOMPARE(names.size(), std::size_t(16));
    }

    void viridisGrowsLighter()
    {
        auto map = viridis();
        double last = -1.0;
        for (int i = 0; i <= 20; ++i) {
            const double now = luminance(QColor(map.color(i / 20.0, QCPRange(0.0, 1.0))));
            QVERIFY(now > last);
            last = now;
        }
    }

    void divergingIsNeutralInTheMiddle_data() { isLegible_data(); }
    void divergingIsNeutralInTheMiddle()
    {
        QFETCH(const bool, dark);
        auto map = diverging(dark);
        QVERIFY(QColor(map.color(0.0, QCPRange(-1.0, 1.0))).hsvSaturationF() < 0.25F);
        const QColor low(map.color(-0.6, QCPRange(-1.0, 1.0)));
        const QColor high(map.color(0.6, QCPRange(-1.0, 1.0)));
        QVERIFY(low.blue() > low.red());
        QVERIFY(high.red() > high.blue());
    }

    void tabularDigitsAreEquallyWide()
    {
        const QFontMetricsF metrics(tabularFont(QFont()));
        for (char digit = '1'; digit <= '9'; ++digit)
            QCOMPARE(metrics.horizontalAdvance(QLatin1Char(digit)), metrics.horizontalAdvance(QLatin1Char('0')));
    }

    void everyIconDrawsInTheTextColor()
    {
        const auto names = themeIconNames();
        QVERIFY(names.size() > 30);
        for (const auto mode : {ThemeMode::Dark, ThemeMode::Light}) {
            wear(mode);
            const auto text = qApp->palette().color(QPalette::ButtonText);
            for (const auto& name : names) {
                const auto image = themeIcon(name).pixmap(32, 32).toImage();
                int strong = 0;
                for (int y = 0; y < image.height(); ++y)
                    for (int x = 0; x < image.width(); ++x) {
                        const auto color = image.pixelColor(x, y);
                        strong += color.alpha() > 200 && std::abs(color.lightness() - text.lightness()) < 16;
                    }
                QVERIFY2(strong > 10, qPrintable(name));
            }
        }
        QVERIFY(themeIcon(QStringLiteral("no such icon")).isNull());
    }
};

QTEST_MAIN(TestTheme)
#include "tst_theme.moc"
