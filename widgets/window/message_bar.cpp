// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/window/message_bar.h"

#include "widgets/theme/icons.h"

#include <QHBoxLayout>
#include <QKeyEvent>
#include <QLabel>
#include <QPushButton>
#include <QToolButton>

#include <utility>

MessageBar::MessageBar(QWidget* parent)
    : QFrame(parent)
    , m_icon(new QLabel)
    , m_text(new QLabel)
    , m_button(new QPushButton)
{
    setObjectName(QStringLiteral("messageBar"));
    setFrameShape(QFrame::StyledPanel);
    setAutoFillBackground(true);
    setBackgroundRole(QPalette::ToolTipBase);
    m_text->setForegroundRole(QPalette::ToolTipText);
    m_text->setWordWrap(true);
    m_text->setTextFormat(Qt::RichText);
    m_text->setTextInteractionFlags(Qt::TextSelectableByMouse | Qt::TextSelectableByKeyboard);
    m_text->setObjectName(QStringLiteral("messageText"));
    auto* close = new QToolButton;
    close->setIcon(themeIcon(QStringLiteral("close")));
    close->setAutoRaise(true);
    close->setToolTip(tr("Close this message"));
    close->setAccessibleName(tr("Close this message"));
    connect(close, &QToolButton::clicked, this, &QWidget::hide);
    connect(m_button, &QPushButton::clicked, this, [this] {
        hide();
        if (const auto accept = std::exchange(m_accept, nullptr))
            accept();
    });
    auto* layout = new QHBoxLayout(this);
    layout->setContentsMargins(10, 6, 6, 6);
    layout->setSpacing(10);
    layout->addWidget(m_icon, 0, Qt::AlignTop);
    layout->addWidget(m_text, 1);
    layout->addWidget(m_button, 0, Qt::AlignVCenter);
    layout->addWidget(close, 0, Qt::AlignTop);
    hide();
}

void MessageBar::present(const QString& icon, const QString& title, const QString& details)
{
    m_icon->setPixmap(themeIcon(icon).pixmap(20, 20));
    auto text = QStringLiteral("<b>%1</b>").arg(title.toHtmlEscaped());
    if (!details.isEmpty())
        text += QStringLiteral("<br>") + details.toHtmlEscaped().replace(u'\n', QStringLiteral("<br>"));
    m_text->setText(text);
    setAccessibleName(title);
    setAccessibleDescription(details);
    show();
}

void MessageBar::showFailure(const QString& title, const QString& details)
{
    m_accept = nullptr;
    m_button->hide();
    present(QStringLiteral("warning"), title, details);
}

void MessageBar::showOffer(
    const QString& title, const QString& details, const QString& button, std::function<void()> accept)
{
    m_accept = std::move(accept);
    m_button->setText(button);
    m_button->show();
    present(QStringLiteral("info"), title, details);
}

QString MessageBar::text() const
{
    return accessibleName() + u'\n' + accessibleDescription();
}

void MessageBar::keyPressEvent(QKeyEvent* event)
{
    if (event->key() == Qt::Key_Escape)
        hide();
    else
        QFrame::keyPressEvent(event);
}
